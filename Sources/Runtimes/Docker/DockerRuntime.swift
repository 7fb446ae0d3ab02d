import FoundationEssentials
import HTTPClient
import Logging
import Netfilter
import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Makes sandboxes as containers of a Docker engine on this machine, guarded by this machine's one guard.
///
/// A container is made without a network, and its first process is execd, which starts nothing of the image before it is
/// told. In between it gets its link and its policy. So no container of its own has to hold the network, and one that
/// somebody starts again by hand has none, and no program. Those in the machine's own network (`sharesNetwork`) have neither link
/// nor guard.
package final class DockerRuntime: SandboxRuntime {
    package static let capabilities = RuntimeCapabilities(
        pause: true, snapshots: true, volumes: true, secureAccess: true, pools: true, gpu: true)
    package var capabilities: RuntimeCapabilities {
        var capabilities = Self.capabilities
        capabilities.publishedPorts = ports.configuration != nil
        if configuration.sharesNetwork {
            // Whatever listens is reached past every gateway.
            (capabilities.networkPolicy, capabilities.secureAccess) = (false, false)
        }
        return capabilities
    }
    package var codes: RuntimeCodes { .docker }

    package let events: AsyncStream<RuntimeEvent>
    let teller: AsyncStream<RuntimeEvent>.Continuation

    let configuration: DockerConfiguration
    let engine: EngineClient
    let images: DockerImages
    let network: ContainerNetwork
    let ports: DockerPorts
    let listeners = SharedListeners()
    let volumes: DockerVolumes
    let program: ExecdVolume
    let namespaceGuard: any NamespaceGuard
    let owner: String
    let logger: Logger
    let memory = Mutex(Memory())
    /// Waiting for execd blocks.
    let threads = WorkerPool(maxThreads: 16)

    /// Who makes the network of a container, and guards it.
    enum ContainerNetwork: Sendable {
        /// This machine, which makes a link to each, and its guard.
        case machine(DockerLinks)
        /// The engine, and a guard beside each.
        case engine(DockerSidecars)
    }

    struct Memory {
        /// The tokens of those that are held, which the engine is not told.
        var tokens: [String: String] = [:]
        /// Those that are being made, or begin.
        var making: Set<String> = []
        /// Those of them whose container has ended meanwhile.
        var putOff: Set<String> = []
        /// What could not be removed yet.
        var unremoved: Set<String> = []
        /// Whether somebody is at work on those.
        var isRemoving = false
        /// Since when containers are being removed that do not end.
        var ends: [String: ContinuousClock.Instant] = [:]
        /// Whether this engine has been asked for its runtimes.
        var isRuntimeChecked = false
        /// Whether it has said that it can limit disks.
        var limitsDisks = false
        /// Pauses and ends of pauses that this server asks for, by sandbox; others are somebody's by hand.
        var ownPauses: [String: Int] = [:]
        /// Sandboxes whose guards may not run, and those whose guards are being looked at, by so many at a time.
        var doubted: Set<String> = [], restoring: Set<String> = []
        var workers = 0
        /// Sandboxes in the machine's own network.
        var shared: [String: Shared] = [:]
        /// Those of an earlier server whose port another program has.
        var unheld: Set<String> = []
    }

    /// A sandbox in the machine's own network.
    struct Shared: Hashable, Sendable {
        /// What is its own there; nil where its processes cannot be told.
        var sockets: ContainerSockets?
    }

    /// - Parameter owner: this server's name. Containers with another owner's label are left alone.
    package init(
        _ configuration: DockerConfiguration, namespaceGuard: any NamespaceGuard, owner: String, logger: Logger
    ) throws(RuntimeError) {
        guard access(configuration.execdPath, X_OK) == 0 else { throw .missingExecd(configuration.execdPath) }
        do throws(SystemCallError) {
            try File.makeFolder(Self.begunFolder(configuration), mode: 0o700)
        } catch {
            throw .system(action: "making \(configuration.stateDirectory)", reason: "\(error)")
        }
        self.configuration = configuration
        self.namespaceGuard = namespaceGuard
        self.owner = owner
        self.logger = logger
        engine = EngineClient(configuration.engine, patience: configuration.patience)
        images = DockerImages(engine, policy: configuration.pulls, folder: configuration.stateDirectory)
        ports = try DockerPorts(
            configuration.ports, folder: configuration.stateDirectory + "/ports",
            holds: configuration.sidecar == nil, logger: logger)
        network =
            if let sidecar = configuration.sidecar {
                .engine(
                    try DockerSidecars(engine, images, sidecar, owner: owner, folder: configuration.stateDirectory))
            } else { .machine(try DockerLinks(configuration, ports, logger: logger)) }
        volumes = DockerVolumes(engine, configuration, owner: owner)
        // One that has not begun is nobody's after this server's start.
        volumes.recover(sandboxes: Self.begun(configuration))
        program = ExecdVolume(engine, path: configuration.execdPath, owner: owner)
        (events, teller) = AsyncStream<RuntimeEvent>.makeStream()
        Task { [weak self] in
            var watch = DockerWatch()
            while let self, !Task.isCancelled { await self.follow(&watch) }
        }
    }

    package func admit(_ limits: ResourceLimits) async throws(RuntimeError) {
        try await checkRuntime()
        if limits.diskBytes != nil { try await checkDisks() }
        if case .engine(let sidecars) = network { try await sidecars.checkNetwork() }
    }

    package func admit(_ volumes: [SandboxVolume], for caller: String?) async throws(RuntimeError) {
        try await self.volumes.check(volumes, for: caller)
    }

    // MARK: pause and resume

    package func pause(_ id: String) async throws(RuntimeError) {
        try await change(id, "pause", needed: "running")
    }

    package func resume(_ id: String) async throws(RuntimeError) {
        try await change(id, "unpause", needed: "paused")
    }

    private func change(_ id: String, _ verb: String, needed: String) async throws(RuntimeError) {
        let id = try Self.checked(id)
        guard let found = try await container(id) else { throw .notFound(id) }
        memory.withLock { $0.ownPauses[id, default: 0] += 1 }
        do throws(EngineFailure) {
            try await engine.send(EngineCall("POST", "containers", found.id, verb))
        } catch {
            memory.withLock { _ = $0.takeOwnPause(id) }
            switch error.status {
            case 404: throw .notFound(id)
            case 409: throw .wrongState(id: id, state: "\(error)", needed: needed)
            default: throw RuntimeError(error, "\(verb) \(id)")
            }
        }
    }

    // MARK: what is there

    /// The container of a sandbox of this server; nil where there is none.
    func container(_ id: String) async throws(RuntimeError) -> ContainerFacts? {
        do throws(EngineFailure) {
            return try await OwnContainer(sandbox: id, part: .workload, owner: owner).find(engine)
        } catch { throw RuntimeError(error, "looking at \(id)") }
    }

    package func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation {
        let id = try Self.checked(id)
        guard let found = try await container(id) else { return SandboxObservation(.missing) }
        let placement = placement(id, found)
        if let shared = found.shared { await takeBack(id, found, shared) }
        switch found.state.phase {
        case .created: return SandboxObservation(.abandoned)
        case .running:
            let isThere =
                if found.shared == nil, case .machine(let links) = network { links.namespace(id).exists } else { true }
            return SandboxObservation(hasBegun(id, found) && isThere ? .running : .abandoned, placement: placement)
        case .paused: return SandboxObservation(hasBegun(id, found) ? .paused : .abandoned, placement: placement)
        case .ended: return SandboxObservation(.exited, end: found.end(of: id))
        case .removing: return SandboxObservation(.missing)
        case .unknown(let word):
            throw .unavailable(
                "the engine says that the container of \(id) is \(word), which this version does not know")
        }
    }

    func placement(_ id: String, _ found: ContainerFacts) -> SandboxPlacement? {
        if let shared = found.shared { return sharedPlacement(id, found, shared) }
        var placement: SandboxPlacement?
        switch network {
        case .machine(let links):
            placement = found.linkNumber.flatMap { links.occupy(id, $0) ? links.placement(id, $0) : nil }
        case .engine(let sidecars): placement = sidecars.placement(id, found)
        }
        placement?.hostPorts = ports[id]?.ports ?? []
        return placement
    }

    package func changeStorage(_ storage: StorageConfiguration) { volumes.change(storage) }

    package func logTail(of id: String, bytes: Int) async -> String { await log(of: id, bytes, []) }
    /// The engine knows when each line came.
    package func logTail(of id: String, bytes: Int, since: Int64) async -> String? {
        await log(of: id, bytes, [("since", "\(since)")])
    }

    private func log(of id: String, _ bytes: Int, _ more: [(String, String)]) async -> String {
        guard let id = try? Self.checked(id), let found = try? await container(id) else { return "" }
        let call = EngineCall(
            "GET", "containers", found.id, "logs",
            query: [("stdout", "true"), ("stderr", "true"), ("tail", "1000")] + more)
        guard let stream = try? await engine.stream(call) else { return "" }
        var frames = LogFrames(), text: [UInt8] = []
        while let chunk = (try? await stream.body.next()) ?? nil, !frames.isBroken {
            text += frames.take(chunk)
            // Twice as much before the front is cut off, so that it is not moved for every chunk.
            if text.count > 2 * bytes { text.removeFirst(text.count - bytes) }
        }
        return String(decoding: text.suffix(bytes), as: UTF8.self)
    }

    package func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result {
        if isShared(id) { return try body() }
        guard case .machine(let links) = network else { throw RuntimeError.unsupported("entering a sandbox's network") }
        let namespace = links.namespace(try Self.checked(id))
        guard namespace.exists else { throw RuntimeError.notFound(id) }
        return try namespace.run(body)
    }

    /// Ids become parts of names of containers, volumes and files.
    static func checked(_ id: String) throws(RuntimeError) -> String {
        guard LocalEngine.isIdentifier(id) else { throw .notFound(String(id.prefix(80))) }
        return id
    }
}

extension DockerRuntime.Memory {
    /// - Returns: whether this server asked for it.
    mutating func takeOwnPause(_ id: String) -> Bool {
        guard let count = ownPauses[id] else { return false }
        ownPauses[id] = count > 1 ? count - 1 : nil
        return true
    }
}

extension ContainerFacts {
    /// As a label says, which only who may ask the engine can write.
    var linkNumber: UInt32? { self[label: DockerNames.linkKey].flatMap { UInt32($0) } }

    /// Its ports in the machine's own network; nil where it has another one. Labels alone would not do: an image may bring some.
    var shared: SharedNetwork? {
        guard resources.network == "host", let execd = self[label: DockerNames.execdPortKey].flatMap({ UInt16($0) }),
            let code = self[label: DockerNames.codePortKey].flatMap({ UInt16($0) }), execd != 0, code != 0
        else { return nil }
        return SharedNetwork(execd: execd, code: code)
    }

    /// execd ends as the sandbox's program has ended.
    func end(of id: String) -> SandboxEnd {
        let limit = resources.memory.flatMap { $0 > 0 ? $0 : nil }
        // As shells say it, and execd's first process, too.
        let entrypoint: EntrypointEnd? =
            switch state.exitCode {
            case 129...192: .signalled(state.exitCode - 128)
            case 0...255: .exited(state.exitCode)
            default: nil
            }
        return SandboxEnd(
            id: id, entrypoint: entrypoint,
            memoryKills: state.isOutOfMemory ? 1 : 0, memoryLimit: limit)
    }
}
