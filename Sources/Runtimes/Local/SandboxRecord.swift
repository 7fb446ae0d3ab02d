import FoundationEssentials
import JSON
import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's record on the disk, written before anything of it is created, so that the next server finds everything
/// that must be removed.
struct SandboxRecord: Codable, Hashable, Sendable {
    var spec: EngineSpec
    var link: SandboxLink
    /// Its users' ids on this machine; nil if they are the same as inside, as for sandboxes of servers before 0.4.
    var users: IdentifierRange?
    /// The ports of the machine that it has; nil for none.
    var ports: [PublishedPort]?
    /// Its ports on this machine; nil if it has a network of its own, as all sandboxes of earlier servers have.
    var shared: SharedNetwork?

    /// Whether execd can build isolated sessions. Not without a user namespace: its first process would have the machine's own
    /// CAP_SYS_ADMIN. Nor in the machine's network, where no process of a sandbox has CAP_NET_ADMIN of any kind.
    var isolates: Bool { spec.isolates == true && users != nil && shared == nil }

    var hostname: String { "sandbox-" + spec.id.prefix(8) }

    static let fileName = "sandbox.json"

    func write(to folder: String) throws(RuntimeError) {
        let path = folder + "/" + Self.fileName
        do throws(SystemCallError) {
            // Strings and numbers can always be encoded. Environments contain secrets.
            try File.replace(path, with: [UInt8](try! JSONEncoder().encode(self)), mode: 0o600)
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
    }

    static func read(from folder: String) -> SandboxRecord? {
        guard let bytes = try? File.read(folder + "/" + fileName) else { return nil }
        return try? JSONValue(bytes).decode()
    }
}

/// The folders of one sandbox.
struct SandboxFolder: Hashable, Sendable {
    let path: String

    var bundle: String { path + "/bundle" }
    var rootfs: String { bundle + "/rootfs" }
    /// Everything that counts towards the sandbox's disk limit: its layer of the file system and its output.
    var disk: SandboxDisk { SandboxDisk(folder: path) }
    var upper: String { disk.path + "/upper" }
    var work: String { disk.path + "/work" }
    /// What isolated sessions change in folders of the sandbox. Not in its own layer, which is no file system that could be
    /// the upper one of another overlay.
    var isolation: String { disk.path + "/isolation" }
    var output: OutputFile { OutputFile(path: disk.path + "/log") }
    var pidFile: String { path + "/pid" }
    /// The pipe through which init reports how the entrypoint ended.
    var end: String { path + "/end" }

    /// The sandbox's public name, which its folder, control group and container have.
    var name: String { path.splitAtLastSlash.name }
    var group: ControlGroup { .ofSandbox(name) }

    func file(_ name: String) -> String { path + "/" + name }

    /// Creates the server's folders for the sandbox. Those above belong to root only, but mounts are made by the
    /// sandbox's own root.
    func create() throws(RuntimeError) {
        try make([path, bundle, rootfs])
        try write("", to: "execd")
    }

    /// Creates the sandbox's own folders, on its disk.
    func createLayer(_ users: IdentifierRange?, isolates: Bool = false) throws(RuntimeError) {
        let folders = [upper, work] + (isolates ? [isolation] : [])
        try make(folders)
        try give(folders, to: users)
    }

    private func make(_ folders: [String]) throws(RuntimeError) {
        for folder in folders where mkdir(folder, folder == path ? 0o711 : 0o755) != 0 {
            throw .system(action: "making \(folder)", reason: String(cString: strerror(errno)))
        }
    }

    func write(_ text: String, to name: String, mode: mode_t = 0o644) throws(RuntimeError) {
        try Self.write(text, to: file(name), mode: mode)
    }

    /// Nothing of a sandbox need outlive the machine, whose restart ends every one: no write waits for the disk.
    static func write(_ text: String, to path: String, mode: mode_t) throws(RuntimeError) {
        do throws(SystemCallError) {
            try File.write(Array(text.utf8), to: path, mode: mode)
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
    }

    func endWatch(of record: SandboxRecord) -> EndWatch {
        EndWatch(record.spec.id, path: end, group: group, memoryLimit: record.spec.limits.memoryBytes)
    }

    /// A reason, with the sandbox's output if there is any.
    func withOutput(_ reason: String) -> String {
        let tail = logTail()
        return tail.isEmpty ? reason : "\(reason); the sandbox printed: \(tail)"
    }

    /// The last bytes of the sandbox's output, however long it is.
    func logTail(bytes: Int = 2000) -> String { output.tail(bytes: bytes) }
}

extension RuntimeError {
    /// A sandbox has ended before its execd listened. What its init reports of the entrypoint is the entrypoint's doing; where
    /// it reports nothing, the init itself has failed.
    static func ended(_ end: SandboxEnd, in folder: SandboxFolder) -> RuntimeError {
        .startFailed(id: end.id, reason: folder.withOutput("\(end)"), isCallersFault: end.entrypoint != nil)
    }
}
