import Logging
import SafeText
import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The images of this machine: fetched by skopeo, unpacked by umoci, kept as folders that overlays stand on.
///
/// An image that was fetched with credentials is handed out only to callers to whom its registry grants it at that
/// moment. One that was fetched without is handed out from the disk; `remove` makes the next call fetch it anew.
package final class ImageStore: Sendable {
    private struct Caller: Hashable, Sendable {
        var reference: ImageReference
        var credentials: RegistryCredentials?
    }

    /// A manifest in a repository.
    private struct Source: Hashable, Sendable {
        var name: String
        var manifest: String
    }

    private let folders: ImageFolders
    private let index: ImageIndex
    private let registry: Registry
    private let umoci: Tool
    private let logger: Logger
    private let unqualifiedRegistry: String?
    private let reserve: DiskReserve
    /// Held as long as the store exists, since two stores would remove each other's work.
    private let lock: CInt

    private let callers = SingleFlight<Caller, SandboxImage>()
    /// How many creates are between the look-up of an image and the mount over its files.
    private let claims = Mutex<[ImageReference: Int]>([:])
    private let fetches = SingleFlight<Source, SandboxImage>()
    private let unpacks = SingleFlight<String, String>()
    /// Threads for registry queries, which mostly wait. Separate, so that slow downloads do not hold them up.
    private let questions = WorkerPool(maxThreads: 16)
    private let downloads = WorkerPool(maxThreads: 4)

    private static let unpackMilliseconds = 900_000

    /// Opens the store, and removes incomplete work of an interrupted one.
    ///
    /// - Parameters:
    ///   - directory: the store's own folder, created if missing. Without commas and colons, which separate overlayfs's
    ///     options.
    ///   - insecureRegistries: `host:port` of those to be spoken to without TLS; those on loopback always are.
    ///   - unqualifiedRegistry: the registry of names without one; nil to refuse them.
    ///   - reserve: bytes to keep free on the store's disk; an image that would use them is given up.
    ///   - isHeld: whether snapshots stand on an image's folder, which then stays.
    /// - Throws: `ImageError.missingTool`, `.storage`.
    package convenience init(
        directory: String, insecureRegistries: Set<String> = [], unqualifiedRegistry: String? = nil,
        reserve: Int64 = DiskConfiguration().reserve, logger: Logger,
        isHeld: @escaping @Sendable (_ root: String) -> Bool = { _ in false }
    ) throws(ImageError) {
        try self.init(
            directory: directory, insecureRegistries: insecureRegistries, unqualifiedRegistry: unqualifiedRegistry,
            reserve: reserve, logger: logger, isHeld: isHeld,
            skopeo: Tool.find("skopeo", package: "skopeo"), umoci: Tool.find("umoci", package: "umoci"))
    }

    init(
        directory: String, insecureRegistries: Set<String> = [], unqualifiedRegistry: String? = nil,
        reserve: Int64 = DiskConfiguration().reserve, logger: Logger,
        isHeld: @escaping @Sendable (_ root: String) -> Bool = { _ in false }, skopeo: Tool, umoci: Tool
    ) throws(ImageError) {
        try Self.check(directory, "opening")
        folders = try ImageFolders.create(at: directory, logger: logger, isHeld: isHeld)
        lock = try folders.lock()
        index = ImageIndex(folders: folders)
        folders.sweep(keeping: Set(index.all.map(\.image.root)))
        self.reserve = DiskReserve(folder: folders.directory, bytes: reserve)
        registry = Registry(skopeo: skopeo, insecure: insecureRegistries, reserve: self.reserve)
        self.umoci = umoci
        self.logger = logger
        self.unqualifiedRegistry = unqualifiedRegistry
    }

    deinit { close(lock) }

    /// The image, which is fetched if missing. Equal concurrent calls fetch once, and the files of a digest are
    /// unpacked once for all references.
    package func image(
        _ reference: String, credentials: RegistryCredentials? = nil
    ) async throws(ImageError) -> SandboxImage {
        let reference = try ImageReference(reference, unqualified: unqualifiedRegistry)
        if let image = index.forEverybody(reference) { return image }
        guard !reference.isLocal else { throw .notOnThisMachine(reference.familiar) }
        let caller = Caller(reference: reference, credentials: credentials)
        return try await callers.run(caller) { () async throws(ImageError) in try await self.admitted(caller) }
    }

    /// An image that is on the disk for everybody, of which no registry is asked.
    func atHand(_ reference: String) -> SandboxImage? {
        guard let reference = try? ImageReference(reference, unqualified: unqualifiedRegistry) else { return nil }
        return index.forEverybody(reference)
    }

    /// Registers a folder of files under a name of this machine's. The folder stays the caller's: it is never written to or
    /// removed.
    ///
    /// - Throws: `ImageError.invalidReference`, also for a name that a registry could have; `.storage` when there is no such folder.
    package func register(
        root: String, reference: String, entrypoint: [String] = [], command: [String] = [],
        environment: [ExactName: String] = [:], workingDirectory: String = "/", user: String = "", digest: String = ""
    ) throws(ImageError) {
        let reference = try ImageReference(reference)
        guard reference.isLocal else {
            throw .invalidReference(
                reference.familiar, reason: "names of this machine begin with \(ImageReference.localNames)")
        }
        try Self.check(root, "registering")
        guard access(root + "/.", X_OK) == 0 else {
            throw .storage(action: "registering \(root)", reason: String(cString: strerror(errno)))
        }
        let image = SandboxImage(
            reference: reference.description, root: root, entrypoint: entrypoint, command: command,
            environment: environment, workingDirectory: workingDirectory, user: user, digest: digest)
        try index.record(ImageIndex.Entry(image: image, name: reference.name, manifest: nil, access: .local))
    }

    /// overlayfs separates its options, and its layers, by these.
    private static func check(_ folder: String, _ action: String) throws(ImageError) {
        guard !folder.contains(where: { $0 == "," || $0 == ":" || $0 == "\\" }) else {
            throw .storage(action: "\(action) \(folder)", reason: "its path has a comma, a colon or a backslash")
        }
    }

    /// All images in the store, by reference.
    package func images() -> [SandboxImage] {
        index.all.map(\.image).sorted { $0.reference < $1.reference }
    }

    /// What a name means now, if the image is here (`SandboxRuntime.revision`).
    func revision(of reference: String) -> ImageRevision? {
        guard let reference = try? ImageReference(reference, unqualified: unqualifiedRegistry) else { return nil }
        return index[reference]?.revision
    }

    /// Removes an image, and its files if no other reference uses them.
    ///
    /// - Throws: `ImageError.notFound`; `.inUse` while sandboxes use its files.
    package func remove(_ reference: String) throws(ImageError) {
        let reference = try ImageReference(reference, unqualified: unqualifiedRegistry)
        try index.remove(reference) { claimed in claims.withLock { $0[claimed] != nil } }
    }

    // MARK: For a person

    /// All images, and who may have them.
    func kept() -> [KeptImage] {
        let entries = index.all, used = folders.used(of: Set(entries.map(\.image.root)))
        return entries.map { KeptImage($0, isUsed: used.contains($0.image.root)) }.sorted {
            $0.reference < $1.reference
        }
    }

    /// The same of one, whoever may have it.
    func kept(_ reference: String) -> KeptImage? {
        guard let reference = try? ImageReference(reference, unqualified: unqualifiedRegistry) else { return nil }
        return index.entry(reference).map { KeptImage($0, isUsed: folders.isUsed($0.image.root)) }
    }

    /// Keeps what a reference names from being removed until `giveBack`, from before it is looked up.
    /// - Returns: nil for what is no reference.
    func claim(_ reference: String) -> ImageReference? {
        guard let reference = try? ImageReference(reference, unqualified: unqualifiedRegistry) else { return nil }
        claims.withLock { $0[reference, default: 0] += 1 }
        return reference
    }

    func giveBack(_ claim: ImageReference) {
        claims.withLock { claims in
            guard let count = claims[claim] else { return }
            claims[claim] = count > 1 ? count - 1 : nil
        }
    }

    // MARK: Steps

    /// Asks the registry whether the caller may have the image, and for its present digest.
    private func admitted(_ caller: Caller) async throws(ImageError) -> SandboxImage {
        let (reference, credentials) = (caller.reference, caller.credentials)
        let manifest = try await questions.run { [folders, registry] () throws(ImageError) in
            try folders.withWork { work throws(ImageError) in
                try registry.digest(of: reference, credentials, in: work)
            }
        }
        // skopeo checks this as well.
        if let pinned = reference.digest, pinned != manifest {
            throw .pullFailed(reference.familiar, reason: "the registry answers with another image, \(manifest)")
        }
        if let image = try index.admit(reference, manifest: manifest, withCredentials: credentials != nil) {
            return image
        }
        let source = Source(name: reference.name, manifest: manifest)
        let fetched = try await fetches.run(source) { () async throws(ImageError) in
            try await self.fetched(source, caller)
        }
        guard fetched.reference != reference.description else { return fetched }
        // This call waited for another caller's fetch, of another tag.
        guard let image = try index.admit(reference, manifest: manifest, withCredentials: credentials != nil) else {
            throw .pullFailed(reference.familiar, reason: "its files were removed meanwhile: try again")
        }
        return image
    }

    private func fetched(_ source: Source, _ caller: Caller) async throws(ImageError) -> SandboxImage {
        let (reference, credentials) = (caller.reference, caller.credentials)
        logger.info("fetching an image", metadata: ["image": "\(reference)", "digest": "\(source.manifest)"])
        let work = try folders.makeWork()
        defer { folders.remove(work) }
        let layout = OCILayout(path: work + "/oci")
        var image = try await downloads.run { [registry] () throws(ImageError) in
            try registry.fetch(reference, digest: source.manifest, credentials, to: layout.path, in: work)
            return try layout.image(reference)
        }
        let digest = image.digest
        image.root = try await unpacks.run(digest) { () async throws(ImageError) in
            try await self.downloads.run { () throws(ImageError) in
                try self.unpacked(layout, digest, reference, work)
            }
        }
        let entry = ImageIndex.Entry(
            image: image, name: source.name, manifest: source.manifest,
            access: credentials == nil ? .open : .restricted)
        try index.record(entry)
        return image
    }

    /// Unpacks in a work folder, then moves the files into place by one rename.
    private func unpacked(
        _ layout: OCILayout, _ digest: String, _ reference: ImageReference, _ work: String
    ) throws(ImageError) -> String {
        let root = folders.root(of: digest)
        guard access(root, F_OK) != 0 else { return root }
        let rootfs = work + "/rootfs"
        let outcome = try umoci.run(
            ["raw", "unpack", "--image", "\(layout.path):\(OCILayout.name)", rootfs], home: work,
            milliseconds: Self.unpackMilliseconds, confined: true, reserve: reserve)
        if let shortage = outcome.shortage { throw .tooLarge(reference.familiar, reason: "\(shortage)") }
        guard let code = outcome.code else {
            throw .timedOut(reference.familiar, seconds: Self.unpackMilliseconds / 1000)
        }
        guard code == 0 else {
            throw .pullFailed(reference.familiar, reason: "umoci: " + ForeignText.escaped(outcome.errors, limit: 400))
        }
        let removed = try ImageTree(root: rootfs).clean(reference)
        if removed.nodes + removed.attributes > 0 {
            logger.notice(
                "special files of an image were removed",
                metadata: [
                    "image": "\(reference)", "files": "\(removed.nodes)", "attributes": "\(removed.attributes)",
                ])
        }
        // All users in the sandbox must be able to enter it.
        chmod(rootfs, 0o755)
        // Sync before the rename, so that after a power failure the name cannot lead to empty files.
        sync()
        guard rename(rootfs, root) == 0 else {
            throw .storage(action: "renaming \(rootfs)", reason: String(cString: strerror(errno)))
        }
        return root
    }
}
