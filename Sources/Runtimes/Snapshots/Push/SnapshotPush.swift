import CLinux
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Pushes snapshots to registries, as images of one layer: everything that a sandbox made from them would see. It needs no
/// server, and one may run meanwhile; a snapshot that is deleted during its push makes the push fail.
package struct SnapshotPush: Sendable {
    private let folders: LayerFolders
    private let insecure: Set<String>
    private let reserve: Int64

    private static let packMilliseconds = 3_600_000

    /// - Parameters:
    ///   - directory: that of the `LayerStore`.
    ///   - insecureRegistries: `host:port` of those to be spoken to without TLS; those on loopback always are.
    ///   - reserve: bytes to keep free on its disk, where the image is packed.
    package init(directory: String, insecureRegistries: Set<String>, reserve: Int64) throws(RuntimeError) {
        folders = try LayerFolders(directory: directory)
        (insecure, self.reserve) = (insecureRegistries, reserve)
    }

    /// Packs a snapshot and pushes it. When this returns, the registry has it. Blocks the thread, for minutes if it is large.
    /// - Parameter credentials: a file as containers-auth.json(5) has it; nil for none.
    /// - Throws: `ImageError.notFound` if there is no such snapshot.
    package func push(_ id: String, to reference: ImageReference, credentials: String?) throws(ImageError) {
        guard LocalEngine.isIdentifier(id), let record = SnapshotRecord.read(folders.record(id), id: id) else {
            throw .noSnapshot(id)
        }
        guard reference.digest == nil else {
            throw .invalidReference(reference.familiar, reason: "what is pushed has a tag, and its digest comes after")
        }
        let (skopeo, umoci) = (
            try Tool.find("skopeo", package: "skopeo"), try Tool.find("umoci", package: "umoci")
        )
        let work: String
        do throws(RuntimeError) { work = try folders.makeWork() } catch {
            throw .storage(action: "packing snapshot \(id)", reason: "\(error)")
        }
        defer { try? TreeRemoval.remove(work) }
        let space = DiskReserve(folder: work, bytes: reserve)
        // Beside the files, which are a mount: the packer's own view of its folder shows none.
        let pack = work + "/pack"
        guard mkdir(pack, 0o700) == 0 else {
            throw .storage(action: "making \(pack)", reason: String(cString: strerror(errno)))
        }
        let layout = OCILayout(path: pack + "/oci")
        try EmptyLayout(image: record.image).write(to: layout.path)
        try Self.inMountNamespace { () throws(ImageError) in
            let (files, upper, over) = (work + "/files", work + "/upper", work + "/over")
            let lower = record.layers.map(folders.layer) + [record.image.root]
            // Not to read only: umoci makes every folder readable to itself, also those that are. What it changes goes with `work`.
            let options = RootMount.options(lower: lower.joined(separator: ":"), upper: upper, work: over)
            guard [files, upper, over].allSatisfy({ (path: String) in mkdir(path, 0o755) == 0 }),
                linux_mount("snapshot", files, "overlay", RootMount.flags, options) == 0
            else { throw .storage(action: "mounting snapshot \(id)", reason: String(cString: strerror(errno))) }
            let outcome = try umoci.run(
                ["insert", "--image", "\(layout.path):\(OCILayout.name)", files, "/"], home: pack,
                milliseconds: Self.packMilliseconds, reserve: space)
            if let shortage = outcome.shortage { throw .tooLarge(reference.familiar, reason: "\(shortage)") }
            guard outcome.code == 0 else {
                let reason = outcome.code == nil ? "it took too long" : ForeignText.escaped(outcome.errors, limit: 400)
                throw .storage(action: "packing snapshot \(id)", reason: "umoci: " + reason)
            }
        }
        try Registry(skopeo: skopeo, insecure: insecure).push(layout, to: reference, credentials: credentials, in: pack)
    }

    /// Runs `body` where mounts are seen by nobody else, and go with the thread: also if the process is killed.
    private static func inMountNamespace(_ body: @escaping @Sendable () throws(ImageError) -> Void) throws(ImageError) {
        let done = Semaphore()
        nonisolated(unsafe) var failure: ImageError?
        do throws(SystemCallError) {
            try DetachedThread.start {
                defer { done.signal() }
                guard linux_unshare(LINUX_NEWNS) == 0,
                    linux_mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0
                else {
                    failure = .storage(action: "making mounts", reason: String(cString: strerror(errno)))
                    return
                }
                do throws(ImageError) { try body() } catch { failure = error }
            }
        } catch { throw .storage(action: "starting a thread", reason: "\(error)") }
        done.wait()
        if let failure { throw failure }
    }
}
