import CLinux
import FoundationEssentials
import Logging
import NIOPosix
import Netfilter
import NetworkPolicy
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Where the local runtime keeps its things, and which addresses it gives out.
public struct LocalConfiguration: Hashable, Sendable {
    /// Folder of the sandboxes, made when missing.
    public var stateDirectory: String
    /// The static execd that every sandbox starts with.
    public var execdPath: String
    public var addressPool: CIDRBlock
    public var addressPoolV6: CIDRBlock
    /// Tells links and tables of one server on a machine from another's: letters and digits, 1 to 4.
    public var tag: String
    /// Folder of the network namespaces, made when missing. This server's own, and not that of `ip netns`.
    public var namespaceDirectory: String
    public var disk = DiskConfiguration()
    /// Bytes of an output's line that execd lets wait for its break; nil: execd's default.
    public var longestOutputLine: Int?
    /// Where deleted sandboxes' files wait for their end. On the file system of the sandboxes, and no name of one.
    var removedDirectory: String { stateDirectory + "/.removed" }

    public init(
        stateDirectory: String, execdPath: String, addressPool: CIDRBlock = CIDRBlock("10.200.0.0/16")!,
        addressPoolV6: CIDRBlock = CIDRBlock("fd5a:1179::/64")!, tag: String = "sp",
        namespaceDirectory: String = NetworkNamespace.folder, longestOutputLine: Int? = nil
    ) {
        self.stateDirectory = stateDirectory
        self.execdPath = execdPath
        self.addressPool = addressPool
        self.addressPoolV6 = addressPoolV6
        self.tag = tag
        self.namespaceDirectory = namespaceDirectory
        self.longestOutputLine = longestOutputLine
    }
}

/// Sandboxes on this machine: an OCI runtime, overlayfs, network namespaces. No daemon is needed.
public final class LocalRuntime: SandboxRuntime {
    private struct State {
        var pool: AddressPool
        /// Sandboxes that something is being done with.
        var busy: Set<String> = []
    }

    private let configuration: LocalConfiguration
    private let runtime: OCIRuntime
    private let logger: Logger
    private let state: Mutex<State>
    private let watcher: ExitWatcher
    private let removals: Leftovers
    private let limits: DiskLimits
    private let reserve: DiskReserve
    /// Making a sandbox is mostly waiting for the kernel and for crun: more threads than processors make more at once.
    private let threads = NIOThreadPool(numberOfThreads: 16)
    /// Deletions have threads of their own: one that waits for a process that does not end must not hold up a create.
    private let deletions = NIOThreadPool(numberOfThreads: 16)
    public let exits: AsyncStream<String>

    /// How long execd may take to listen.
    private static let startMilliseconds = 20_000
    private static let execdPort: UInt16 = 44772

    /// Checks what the runtime stands on, finds the sandboxes of an earlier server, and puts the host's rules in force.
    public init(configuration: LocalConfiguration, logger: Logger) throws(RuntimeError) {
        guard geteuid() == 0 else { throw .notRoot }
        guard access(configuration.execdPath, X_OK) == 0 else {
            throw .missingExecd(configuration.execdPath)
        }
        var configuration = configuration
        configuration.namespaceDirectory = try Self.folder(configuration.namespaceDirectory)
        let missing = KernelFeatures.probe(
            namespaceName: "probe-\(UInt32.random(in: 0 ... .max))", in: configuration.namespaceDirectory)
        if let first = missing.first { throw .missingKernelFeature(first.description) }
        self.configuration = configuration
        self.logger = logger
        runtime = try OCIRuntime.find()
        try? FileManager.default.createDirectory(
            atPath: configuration.stateDirectory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        removals = Leftovers(logger: logger)
        // Now, since a deletion must not need room for it.
        mkdir(configuration.removedDirectory, 0o700)
        // What an earlier server was making when it ended, and what it had not removed yet.
        for folder in [configuration.removedDirectory, configuration.stateDirectory] {
            for name in ControlGroup.entries(of: folder)
            where folder == configuration.removedDirectory || name.hasPrefix(".") && name != ".removed" {
                removals.take(files: folder + "/" + name)
            }
        }
        limits = try DiskLimits(configuration.disk, folder: configuration.stateDirectory, logger: logger)
        reserve = DiskReserve(folder: configuration.stateDirectory, bytes: configuration.disk.reserve)
        logger.info("disk limits of sandboxes", metadata: ["by": "\(limits.name)"])
        (exits, watcher) = try ExitWatcher.start()
        threads.start()
        deletions.start()
        var pool = AddressPool(block: configuration.addressPool, blockV6: configuration.addressPoolV6)
        for name in ControlGroup.entries(of: configuration.stateDirectory) {
            if let record = SandboxRecord.read(from: configuration.stateDirectory + "/" + name) {
                pool.occupy(record.link.host)
            }
        }
        state = Mutex(State(pool: pool))
        let firewall = HostFirewall(
            table: "sallyport_\(configuration.tag)", pool: configuration.addressPool,
            poolV6: configuration.addressPoolV6,
            links: "\(SandboxLink.linkPrefix)\(configuration.tag.prefix(4))*")
        let obstacles = try Self.translated("setting the host's rules") { () throws(NetfilterError) in
            try firewall.install()
        }
        for obstacle in obstacles { firewall.warn(of: obstacle, logger) }
        for name in ControlGroup.entries(of: configuration.stateDirectory) {
            watcher.watch(process(of: name, folder(of: name)), of: name)
            do throws(RuntimeError) { try folder(of: name).disk.remount() } catch {
                logger.warning("a disk cannot be read again", metadata: ["sandbox": "\(name)", "reason": "\(error)"])
            }
        }
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            SandboxLink.write("1", to: "/proc/sys/net/\(path)")
        }
        Task { [weak self] in
            while true {
                try? await Task.sleep(for: Self.outputInterval)
                guard let self else { return }
                await self.rotateOutput()
            }
        }
    }

    /// How often the files that sandboxes print into are looked at.
    private static let outputInterval = Duration.seconds(2)

    private func rotateOutput() async {
        let ids = await list(), limit = configuration.disk.log
        try? await deletions.runIfActive { [self] in for id in ids { folder(of: id).output.rotate(limit: limit) } }
    }

    deinit { for pool in [threads, deletions] { pool.shutdownGracefully { _ in } } }

    /// Makes a folder for root only, where it is missing, and says its path as the OCI runtime needs it: from the root.
    private static func folder(_ path: String) throws(RuntimeError) -> String {
        mkdir(path, 0o700)
        guard let absolute = realpath(path, nil) else {
            throw .system(action: "making \(path)", reason: String(cString: strerror(errno)))
        }
        defer { free(absolute) }
        return String(cString: absolute)
    }

    /// Takes the host's rules away; only when no sandbox is left.
    public func uninstall() throws(RuntimeError) {
        try Self.translated("removing the host's rules") { () throws(NetfilterError) in
            var removal = Transaction()
            removal.removeTable("sallyport_\(configuration.tag)")
            try NetfilterSocket().commit(removal)
        }
    }

    public func admit(_ asked: ResourceLimits) async throws(RuntimeError) {
        guard asked.diskBytes == nil || limits.isEnforced else { throw .unenforcedLimit("disk") }
        try reserve.check()
    }

    public func prepare(_ spec: SandboxSpec) async throws(RuntimeError) -> PreparedSandbox {
        try await admit(spec.limits)
        return try await offPool(spec.id) { [self] () throws(RuntimeError) in
            let folder = folder(of: spec.id)
            guard access(folder.path, F_OK) != 0 else { throw .alreadyExists(spec.id) }
            guard access(spec.imageRoot, R_OK | X_OK) == 0 else { throw .imageNotFound(spec.imageRoot) }
            guard let host = state.withLock({ $0.pool.lease() }) else {
                throw .noAddressLeft(pool: "\(configuration.addressPool)")
            }
            let record = SandboxRecord(
                spec: spec,
                link: SandboxLink(
                    id: spec.id, host: host, tag: configuration.tag, folder: configuration.namespaceDirectory))
            do throws(RuntimeError) {
                try make(record, in: folder)
            } catch {
                try? remove(record, in: folder)
                throw error
            }
            let pool = state.withLock { $0.pool }
            return PreparedSandbox(
                id: spec.id, namespacePath: record.link.namespacePath, address: pool.address(host),
                addressV6: pool.addressV6(host))
        }
    }

    public func start(_ id: String) async throws(RuntimeError) {
        try await offPool(id) { [self] () throws(RuntimeError) in
            let (record, folder) = try known(id)
            let log = try folder.output.open()
            defer { close(log) }
            do throws(RuntimeError) {
                try runtime.run(id, bundle: folder.bundle, pidFile: folder.pidFile, log: log)
            } catch {
                throw .startFailed(id: id, reason: "\(error)\n\(folder.logTail())")
            }
            let address = state.withLock { $0.pool.address(record.link.host) }
            guard let process = process(of: id, folder),
                process.accepts(address, port: Self.execdPort, within: Self.startMilliseconds)
            else {
                throw .startFailed(id: id, reason: "execd did not answer; the sandbox printed: \(folder.logTail())")
            }
            watcher.watch(process, of: id)
        }
    }

    public func pause(_ id: String) async throws(RuntimeError) { try await setFrozen(true, id, needed: .running) }
    public func resume(_ id: String) async throws(RuntimeError) { try await setFrozen(false, id, needed: .paused) }

    public func delete(_ id: String) async throws(RuntimeError) {
        try await offPool(id, deletions) { [self] () throws(RuntimeError) in
            let folder = folder(of: id)
            guard let record = SandboxRecord.read(from: folder.path) else {
                // Without a record nothing was made but the folder.
                return try setAside(folder, of: id)
            }
            try remove(record, in: folder)
        }
    }

    public func state(of id: String) async -> RuntimeState { currentState(id) }

    public func logTail(of id: String, bytes: Int) async -> String {
        Self.isIdentifier(id) ? folder(of: id).logTail(bytes: bytes) : ""
    }

    public func list() async -> [String] {
        ControlGroup.entries(of: configuration.stateDirectory).filter(Self.isIdentifier).sorted()
    }

    public var leftovers: [Leftover] { removals.all }

    // MARK: Steps

    private func make(_ record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        let spec = record.spec
        try folder.create()
        try record.write(to: folder.path)
        let pool = state.withLock { $0.pool }
        try Self.translated("making the network of \(spec.id)") { () throws(NetfilterError) in
            try record.link.create(pool: pool)
        }
        try limits.make(folder.disk, bytes: spec.limits.diskBytes ?? configuration.disk.limit)
        try folder.createLayer()
        try folder.writeIdentity(
            hostname: record.hostname, address: pool.address(record.link.host), image: spec.imageRoot)
        let layers = "lowerdir=\(spec.imageRoot),upperdir=\(folder.upper),workdir=\(folder.work)"
        guard linux_mount("overlay", folder.rootfs, "overlay", 0, layers) == 0 else {
            throw .system(action: "mounting the files of \(spec.id)", reason: String(cString: strerror(errno)))
        }
        try folder.writeBundle(of: record, configuration)
    }

    private func remove(_ record: SandboxRecord, in folder: SandboxFolder) throws(RuntimeError) {
        let id = record.spec.id
        let group = ControlGroup(path: BundleConfiguration.controlGroup(of: id))
        if group.isFrozen { _ = group.setFrozen(false) }
        if let process = process(of: id, folder) {
            process.kill()
            guard process.hasEnded(within: 10_000) else {
                throw .system(action: "ending sandbox \(id)", reason: "process \(process.pid) does not end")
            }
        }
        if access(folder.pidFile, F_OK) == 0 || !group.folders.isEmpty { try runtime.delete(id) }
        _ = linux_unmount_detached(folder.rootfs)
        folder.disk.unmount()
        try Self.translated("removing the network of \(id)") { () throws(NetfilterError) in try record.link.delete() }
        if !group.remove() {
            removals.take("the control group of \(id)", of: id) {
                guard group.remove() else {
                    throw RuntimeError.system(action: "removing \(group.path)", reason: "it is in use")
                }
            }
        }
        try setAside(folder, of: id)
        state.withLock { $0.pool.release(record.link.host) }
    }

    /// Frees a sandbox's name at once. Its files are removed apart from that: they may be many, or resist.
    private func setAside(_ folder: SandboxFolder, of id: String) throws(RuntimeError) {
        do throws(RemovalError) {
            guard let aside = try TreeRemoval.setAside(folder.path, into: configuration.removedDirectory) else {
                return
            }
            // On a full disk somebody waits for the room.
            if (try? reserve.check()) == nil, (try? TreeRemoval.remove(aside)) != nil { return }
            removals.take(files: aside, of: id)
        } catch {
            throw .system(action: "deleting \(id)", reason: "\(error)")
        }
    }

    private func setFrozen(_ frozen: Bool, _ id: String, needed: RuntimeState) async throws(RuntimeError) {
        try await offPool(id) { [self] () throws(RuntimeError) in
            _ = try known(id)
            let now = currentState(id)
            guard now == needed else { throw .wrongState(id: id, state: "\(now)", needed: "\(needed)") }
            guard ControlGroup(path: BundleConfiguration.controlGroup(of: id)).setFrozen(frozen) else {
                throw .system(
                    action: frozen ? "pausing \(id)" : "resuming \(id)", reason: String(cString: strerror(errno)))
            }
        }
    }

    private func currentState(_ id: String) -> RuntimeState {
        let folder = folder(of: id)
        guard SandboxRecord.read(from: folder.path) != nil else { return .missing }
        guard access(folder.pidFile, F_OK) == 0 else { return .prepared }
        guard let process = process(of: id, folder), !process.hasEnded(within: 0) else { return .exited }
        return ControlGroup(path: BundleConfiguration.controlGroup(of: id)).isFrozen ? .paused : .running
    }

    private func known(_ id: String) throws(RuntimeError) -> (SandboxRecord, SandboxFolder) {
        let folder = folder(of: id)
        guard let record = SandboxRecord.read(from: folder.path) else { throw .notFound(id) }
        return (record, folder)
    }

    private func folder(of id: String) -> SandboxFolder { SandboxFolder(path: configuration.stateDirectory + "/" + id) }

    private func process(of id: String, _ folder: SandboxFolder) -> SandboxProcess? {
        SandboxProcess(pidFile: folder.pidFile, group: ControlGroup(path: BundleConfiguration.controlGroup(of: id)))
    }

    // MARK: Threads

    /// Runs what blocks away from the cooperative pool, one thing at a time for each sandbox.
    private func offPool<Result: Sendable>(
        _ id: String, _ pool: NIOThreadPool? = nil, _ body: @escaping @Sendable () throws(RuntimeError) -> Result
    ) async throws(RuntimeError) -> Result {
        guard Self.isIdentifier(id) else { throw .notFound(String(id.prefix(80))) }
        guard state.withLock({ $0.busy.insert(id).inserted }) else {
            throw .wrongState(id: id, state: "being changed by another request", needed: "left alone")
        }
        defer { _ = state.withLock { $0.busy.remove(id) } }
        let outcome: Swift.Result<Result, RuntimeError>
        do {
            outcome = try await (pool ?? threads).runIfActive {
                do throws(RuntimeError) { return .success(try body()) } catch { return .failure(error) }
            }
        } catch {
            throw .system(action: "working on \(id)", reason: "the program is shutting down")
        }
        return try outcome.get()
    }

    /// Identifiers become names of folders and control groups.
    static func isIdentifier(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                ("a"..."z").contains(Character(Unicode.Scalar($0)))
                    || ("0"..."9").contains(Character(Unicode.Scalar($0)))
                    || $0 == UInt8(ascii: "-")
            } && text.first != "-"
    }

    private static func translated<Result>(
        _ action: String, _ body: () throws(NetfilterError) -> Result
    ) throws(RuntimeError) -> Result {
        do throws(NetfilterError) { return try body() } catch { throw .system(action: action, reason: "\(error)") }
    }
}
