import CLinux
import FoundationEssentials
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Creates containers on this machine with an OCI runtime, overlayfs and network namespaces. It needs no daemon, and
/// knows no image names, policies or guards; `LocalRuntime` does.
package final class LocalEngine: Sendable {
    struct State {
        var pool: AddressPool
        /// Sandboxes with an operation in progress.
        var busy: Set<String> = []
        /// When those were killed whose processes have not ended.
        var ends: [String: ContinuousClock.Instant] = [:]
    }

    let configuration: LocalConfiguration
    let runtime: OCIRuntime
    let users: UserNamespaces
    let logger: Logger
    let state: Mutex<State>
    let watcher: ExitWatcher
    let removals: Leftovers
    let limits: DiskLimits
    let reserve: DiskReserve
    let volumes: EngineVolumes
    let firewall: StandingFirewall
    /// nil where no ports are published.
    let hostPorts: HostPorts?
    let listeners = SharedListeners()
    /// Creating a sandbox is mostly waiting for the kernel and for crun, so more threads than processors help.
    let threads = WorkerPool(maxThreads: 16)
    /// For starts of sandboxes with volumes: the runtime's program may wait for storage that does not answer.
    let volumeStarts = WorkerPool(maxThreads: 16)
    /// Separate threads for deletions, so that one that waits for a process does not hold up creates.
    let deletions = WorkerPool(maxThreads: 16)
    let volumeThreads = VolumeThreads()
    let patience: EndPatience
    /// The host's rules wait for nothing else.
    let firewallThread = WorkerPool(maxThreads: 1)
    /// For copies of layers, which are limited by the disk and take seconds.
    let copies = WorkerPool(maxThreads: 4)
    /// Sandboxes whose first process has ended by itself, including those of an earlier server. For one reader.
    package let exits: AsyncStream<SandboxEnd>

    /// Checks requirements, recovers the sandboxes of an earlier server, and installs the host's rules.
    package convenience init(configuration: LocalConfiguration, logger: Logger) throws(RuntimeError) {
        try self.init(configuration: configuration, patience: EndPatience(), logger: logger)
    }

    init(configuration: LocalConfiguration, patience: EndPatience, logger: Logger) throws(RuntimeError) {
        self.patience = patience
        guard geteuid() == 0 else { throw .notRoot }
        guard access(configuration.execdPath, X_OK) == 0 else {
            throw .missingExecd(configuration.execdPath)
        }
        var configuration = configuration
        // gVisor's own kernel is between its root and this machine's.
        if configuration.gVisor != nil { configuration.userNamespaces.mode = .off }
        if configuration.sharesNetwork { configuration.userNamespaces.mode = .required }
        configuration.namespaceDirectory = try Self.folder(configuration.namespaceDirectory)
        let missing = KernelFeatures.probe(
            namespaceName: "probe-\(UInt32.random(in: 0 ... .max))", in: configuration.namespaceDirectory)
        if let first = missing.first { throw .missingKernelFeature(first.description) }
        self.configuration = configuration
        self.logger = logger
        runtime =
            if let gVisor = configuration.gVisor { try .gVisor(gVisor) } else { try .find(configuration.ociRuntime) }
        try? FileManager.default.createDirectory(
            atPath: configuration.stateDirectory, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        removals = Leftovers(logger: logger)
        // Create it now, since a deletion must not need disk space.
        mkdir(configuration.removedDirectory, 0o700)
        // Incomplete creates and removals of an earlier server.
        for name in ControlGroup.entries(of: configuration.removedDirectory) {
            removals.take(configuration.removedDirectory + "/" + name, .ofSandbox(TreeRemoval.nameBefore(aside: name)))
        }
        for name in ControlGroup.entries(of: configuration.stateDirectory)
        where name.hasPrefix(".") && name != ".removed" {
            removals.take(configuration.stateDirectory + "/" + name, .ofSandbox(name))
        }
        users = try UserNamespaces(
            IdentifierLeases(configuration.userNamespaces, foreign: .ofThisMachine()), logger: logger
        ) { [runtime] (users) throws(RuntimeError) in
            try UserNamespaceTrial.run(users, runtime, configuration)
        }
        limits = try DiskLimits(
            configuration.disk, folder: configuration.stateDirectory, keepsProjects: users.obstacle == nil,
            logger: logger)
        reserve = DiskReserve(folder: configuration.stateDirectory, bytes: configuration.disk.reserve)
        volumes = EngineVolumes(configuration, limits: limits, reserve: reserve, removals: removals)
        logger.info("disk limits of sandboxes", metadata: ["by": "\(limits.name)"])
        SharedCounters.raise(logger)
        (exits, watcher) = try ExitWatcher.start()
        var pool = AddressPool(block: configuration.addressPool, blockV6: configuration.addressPoolV6)
        let found = Self.records(in: configuration.stateDirectory)
        for (record, folder) in found {
            pool.occupy(record.link.host)
            try users.occupy(record.users, in: folder)
        }
        let unreadable = SandboxFolder.withUnreadableRecords(in: configuration.stateDirectory)
        for folder in unreadable {
            logger.error(
                "the stored record of a sandbox cannot be read; it is left as it is until it is deleted",
                metadata: ["folder": "\(folder.path)"])
            folder.letGo()
            try users.occupy(SandboxProcess(pidFile: folder.pidFile, group: folder.group)?.users, in: folder)
        }
        // It is unknown which link belongs to which sandbox, so keep all their addresses.
        let links = unreadable.isEmpty ? [] : (try? RouteSocket().links()) ?? []
        for host in links.compactMap({ SandboxLink.host(of: $0.name, tag: configuration.tag) }) { pool.occupy(host) }
        state = Mutex(State(pool: pool))
        hostPorts = configuration.ports.map { HostPorts($0) }
        let firewall = HostFirewall(
            table: HostRules.table(tag: configuration.tag), pool: configuration.addressPool,
            poolV6: configuration.addressPoolV6,
            links: "\(SandboxLink.linkPrefix)\(configuration.tag.prefix(4))*",
            reachableBy: configuration.reachableBy,
            forwarding: Self.forwarding(
                hostPorts, found.map { ($0.record, Self.process(in: $0.folder) != nil) }, pool, logger))
        let standing = try Self.translated("setting the host's rules") { () throws(NetfilterError) in
            try StandingFirewall(firewall)
        }
        let obstacles = try Self.translated("looking at the host's rules") { () throws(NetfilterError) in
            try standing.obstacles
        }
        for obstacle in obstacles { firewall.warn(of: obstacle, logger) }
        self.firewall = standing
        for (record, folder) in found {
            let process = process(in: folder)
            folder.letGo()
            do throws(RuntimeError) { try folder.findAgain(record, process) } catch {
                logger.warning(
                    "a sandbox of the previous server could not be taken over completely",
                    metadata: ["sandbox": "\(record.spec.id)", "error": "\(error)"])
            }
            if let process { watcher.watch(process, folder.endWatch(of: record)) }
        }
        // Without a record only the folder was created, and its name does not tell whose it is.
        let known = Set((found.map(\.folder) + unreadable).map(\.name))
        for name in ControlGroup.entries(of: configuration.stateDirectory)
        where Self.isIdentifier(name) && !known.contains(name) {
            removals.take(files: configuration.stateDirectory + "/" + name)
        }
        for path in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            SandboxLink.write("1", to: "/proc/sys/net/\(path)")
        }
        takeBackListeners(found)
        keepUp()
    }

    /// Creates a folder for root only, if missing, and returns its absolute path, which the OCI runtime needs.
    private static func folder(_ path: String) throws(RuntimeError) -> String {
        mkdir(path, 0o700)
        guard let absolute = realpath(path, nil) else {
            throw .system(action: "making \(path)", reason: String(cString: strerror(errno)))
        }
        defer { free(absolute) }
        return String(cString: absolute)
    }

    /// Checks whether a sandbox with these limits could be created now.
    package func admit(_ asked: ResourceLimits) async throws(RuntimeError) {
        guard asked.diskBytes == nil || limits.isEnforced else { throw .unenforcedLimit("disk") }
        try reserve.check()
    }

    /// Checks whether the programs are still there that a start needs.
    func checkPrograms() throws(RuntimeError) {
        guard access(configuration.execdPath, X_OK) == 0 else { throw .missingExecd(configuration.execdPath) }
        guard access(runtime.executable, X_OK) == 0 else {
            throw .system(action: "starting \(runtime.executable)", reason: String(cString: strerror(errno)))
        }
    }

    /// Sets which folders of the machine sandboxes may be given from now on, and how large a named volume is by default.
    package func changeStorage(_ storage: StorageConfiguration) {
        volumes.change(allowed: storage.allowedHostPaths, defaultBytes: storage.defaultBytes)
    }

    /// Checks whether a sandbox could have these volumes, without making any.
    /// - Parameter caller: as `EngineSpec.caller`.
    package func admit(_ asked: [SandboxVolume], for caller: String? = nil) async throws(RuntimeError) {
        guard !asked.isEmpty else { return }
        // Buckets themselves are not asked yet.
        let storages = volumes.storages(of: asked.filter { !$0.isBucket })
        try await volumeThreads.check(storages) { [volumes] () throws(RuntimeError) in
            try volumes.check(asked, for: caller)
        }
    }

    /// Creates everything that a sandbox needs but runs nothing. When it returns, there is a network namespace to
    /// guard, in which no packet has passed. After an error nothing is left.
    package func prepare(_ spec: EngineSpec) async throws(RuntimeError) -> PreparedSandbox {
        let connected = try await connect(spec)
        do throws(RuntimeError) { try await furnish(spec.id) } catch {
            // In a separate task, because this one may have been cancelled.
            await Task { try? await delete(spec.id) }.value
            throw error
        }
        return connected
    }

    /// The first part of it, and all that a guard needs: the network namespace. After an error nothing is left.
    package func connect(_ spec: EngineSpec) async throws(RuntimeError) -> PreparedSandbox {
        try await admit(spec.limits)
        return try await offPool(spec.id) { [self] () throws(RuntimeError) in
            let folder = folder(of: spec.id)
            guard access(folder.path, F_OK) != 0 else { throw .alreadyExists(spec.id) }
            guard access(spec.imageRoot, R_OK | X_OK) == 0 else { throw .imageNotFound(spec.imageRoot) }
            guard let host = state.withLock({ $0.pool.lease() }) else {
                throw .noAddressLeft(pool: "\(configuration.addressPool)")
            }
            var record = SandboxRecord(
                spec: spec,
                link: SandboxLink(
                    name: folder.name, host: host, tag: configuration.tag, folder: configuration.namespaceDirectory))
            do throws(RuntimeError) {
                record.ports = try lease(spec.ports)
                if configuration.sharesNetwork { record.shared = try listeners.lease(spec.id) }
            } catch {
                hostPorts?.release(record.ports ?? [])
                state.withLock { $0.pool.release(host) }
                throw error
            }
            do throws(RuntimeError) {
                try connect(record, in: folder)
            } catch {
                try? remove(SandboxRecord.read(from: folder.path) ?? record, in: folder)
                throw error
            }
            return prepared(record)
        }
    }

    package func pause(_ id: String) async throws(RuntimeError) { try await setFrozen(true, id, needed: .running) }
    package func resume(_ id: String) async throws(RuntimeError) { try await setFrozen(false, id, needed: .paused) }

    /// Removes everything of a sandbox, which may also be incomplete or unknown.
    package func delete(_ id: String) async throws(RuntimeError) {
        try await alone(id) { () async throws(RuntimeError) in
            let folder = folder(of: id)
            try await endProcesses(of: id, in: folder)
            try await deletions.run { [self] () throws(RuntimeError) in
                // Without a record only the folder was created.
                guard folder.hasRecord else { return try setAside(folder, of: id) }
                try remove(SandboxRecord.read(from: folder.path) ?? unreadableRecord(of: id, in: folder), in: folder)
            }
        }
    }

    package func state(of id: String) async -> EngineState { currentState(id) }

    /// What was prepared under this id, in any state; nil if there is nothing.
    package func found(_ id: String) -> PreparedSandbox? {
        guard Self.isIdentifier(id) else { return nil }
        return SandboxRecord.read(from: folder(of: id).path).map(prepared)
    }

    private func prepared(_ record: SandboxRecord) -> PreparedSandbox {
        let pool = state.withLock { $0.pool }
        return PreparedSandbox(
            id: record.spec.id, namespacePath: record.link.namespacePath, address: pool.address(record.link.host),
            addressV6: pool.addressV6(record.link.host), ports: record.ports ?? [], shared: record.shared)
    }

    package func logTail(of id: String, bytes: Int) async -> String {
        Self.isIdentifier(id) ? folder(of: id).logTail(bytes: bytes) : ""
    }

    /// - Parameter since: Unix seconds.
    package func logTail(of id: String, bytes: Int, since: Int64) async -> String {
        Self.isIdentifier(id) ? folder(of: id).logTail(bytes: bytes, since: since) : ""
    }

    /// The specifications of all sandboxes that have left anything.
    package func specs() async -> [EngineSpec] { Self.records(in: configuration.stateDirectory).map(\.record.spec) }

    package func list() async -> [String] { await specs().map(\.id).sorted() }

    package var leftovers: [Leftover] { removals.all }

    package func isolation(of id: String) async -> String {
        guard Self.isIdentifier(id), let record = SandboxRecord.read(from: folder(of: id).path) else { return "" }
        guard runtime.kind == .containers else { return "gVisor: a kernel of its own (\(runtime.executable))" }
        return users.description(of: record.users) + (record.shared == nil ? "" : "; this machine's own network")
    }
}
