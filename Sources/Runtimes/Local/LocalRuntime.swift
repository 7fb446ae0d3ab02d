import Logging
import Netfilter
import NetworkPolicy
import Spelling
import Synchronization
import System

/// Runs sandboxes on this machine, by combining its images, containers and guard in the right order.
package final class LocalRuntime: SandboxRuntime {
    /// Without what a configuration adds.
    package static let capabilities = RuntimeCapabilities(
        pause: true, snapshots: true, volumes: true, secureAccess: true, pools: true, images: true)

    package var capabilities: RuntimeCapabilities {
        var capabilities = Self.capabilities
        // What gVisor's kernel has not written yet is in its memory, where no copy of files would find it.
        if engine.runtime.kind == .gVisor { capabilities.snapshots = false }
        capabilities.publishedPorts = engine.configuration.ports != nil
        if engine.configuration.sharesNetwork {
            // Whatever listens is reached past every gateway.
            (capabilities.networkPolicy, capabilities.secureAccess) = (false, false)
        }
        return capabilities
    }
    package var codes: RuntimeCodes { .docker }
    package let events: AsyncStream<RuntimeEvent>

    let engine: LocalEngine
    let images: ImageStore
    let layers: LayerStore
    private let namespaceGuard: any NamespaceGuard
    let owner: String
    private let fetches = AbandonedFetches()
    /// The network namespaces of sandboxes by id. Cached, since every connection to a sandbox's loopback needs one.
    private let namespaces = Mutex<[String: NetworkNamespace]>([:])

    /// - Parameter owner: this server's name. Sandboxes with another owner's label are left alone.
    package init(
        engine: LocalEngine, images: ImageStore, layers: LayerStore, namespaceGuard: any NamespaceGuard, owner: String
    ) {
        self.engine = engine
        self.images = images
        self.layers = layers
        self.namespaceGuard = namespaceGuard
        self.owner = owner
        let (events, teller) = AsyncStream<RuntimeEvent>.makeStream()
        self.events = events
        // `missed` is never sent, because pidfds report every end, including those that happened before this server
        // started.
        Task { [exits = engine.exits] in for await end in exits { teller.yield(.exited(end)) } }
        Task { [layers, engine] in await layers.collect { engine.layersInUse } }
    }

    package func admit(_ limits: ResourceLimits) async throws(RuntimeError) { try await engine.admit(limits) }

    package func checkReady() async throws(RuntimeError) { try engine.checkPrograms() }
    package func checkSpace() async throws(RuntimeError) { try engine.reserve.check() }

    package func admit(_ volumes: [SandboxVolume], for caller: String?) async throws(RuntimeError) {
        try await engine.admit(volumes, for: caller)
    }

    package func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement {
        let claim: ImageReference? =
            if case .image(let reference, _) = spec.source { images.claim(reference) } else { nil }
        defer { if let claim { images.giveBack(claim) } }
        let (image, below) = try await CreateStep.image.timed { () async throws(RuntimeError) in
            try await files(of: spec.source, for: spec.caller)
        }
        // From here on the sandbox's own record says what it stands on.
        defer { if case .snapshot = spec.source { layers.giveBack(below, image: image.root) } }
        reached(.imageReady)
        // Before anything is mounted: if its folder is replaced meanwhile, the sandbox counts as one of the earlier one.
        let revision = image.revision
        let engineSpec = EngineSpec(spec, image, layers: below)
        try Self.goOn()
        // One that is held gets its policy with its use.
        if engine.configuration.sharesNetwork, !spec.isHeld { try spec.policy.checkUnguarded() }
        let prepared = try await CreateStep.prepare.timed { () async throws(RuntimeError) in
            try await engine.connect(engineSpec)
        }
        do throws(RuntimeError) {
            try Self.goOn()
            // The guard needs the network alone, and works in another process.
            async let furnished = RuntimeError.outcome { [engine] () async throws(RuntimeError) in
                try await engine.furnish(spec.id)
            }
            if prepared.shared == nil {
                try await CreateStep.protect.timed { () async throws(RuntimeError) in
                    try await namespaceGuard.protect(spec.id, namespace: prepared.namespace, policy: spec.policy)
                }
            }
            try await furnished.get()
            try Self.goOn()
            try await CreateStep.start.timed { () async throws(RuntimeError) in
                try await engine.start(spec.id, bucketKeys: spec.bucketKeys)
            }
        } catch {
            // In a separate task, because this one may have been cancelled.
            await Task { await giveUp(spec.id) }.value
            throw error
        }
        if prepared.shared == nil { namespaces.withLock { $0[spec.id] = prepared.namespace } }
        var placement = prepared.placement
        placement.image = revision
        return placement
    }

    package func revision(ofImage reference: String) async -> ImageRevision? { images.revision(of: reference) }

    package func begin(_ use: SandboxUse) async throws(RuntimeError) -> SandboxPlacement {
        do throws(RuntimeError) {
            guard let prepared = engine.found(use.id) else { throw .notFound(use.id) }
            if prepared.shared == nil {
                try await CreateStep.policy.timed { () async throws(RuntimeError) in
                    try await namespaceGuard.replace(use.id, with: use.policy)
                }
            } else {
                try use.policy.checkUnguarded()
            }
            try await CreateStep.begin.timed { () async throws(RuntimeError) in try await engine.begin(use) }
            return prepared.placement
        } catch {
            await Task { await giveUp(use.id) }.value
            throw error
        }
    }

    /// Removes what a create or a use has left. What does not go, as while storage of a volume does not answer, is tried again: there
    /// may be no record by which anybody else would.
    private func giveUp(_ id: String) async {
        guard (try? await delete(id)) == nil else { return }
        Task { [weak self] in
            var backOff = BackOff.removals
            repeat {
                try? await Task.sleep(for: .milliseconds(Int64(backOff.next())))
                guard let self, (try? await self.delete(id)) == nil else { return }
            } while true
        }
    }

    package func pause(_ id: String) async throws(RuntimeError) { try await engine.pause(id) }
    package func resume(_ id: String) async throws(RuntimeError) { try await engine.resume(id) }

    /// Remove the guard last.
    package func delete(_ id: String) async throws(RuntimeError) {
        let isRestored = engine.spec(of: id)?.layers != nil
        try await engine.delete(id)
        if isRestored { Task { [layers, engine] in await layers.collect { engine.layersInUse } } }
        namespaces.withLock { $0[id] = nil }
        await namespaceGuard.release(id)
    }

    package func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation {
        let placement = engine.found(id)?.placement
        let state: RuntimeState =
            switch await engine.state(of: id) {
            case .prepared: .abandoned
            case .running: engine.isHeld(id) ? .abandoned : .running
            case .paused: .paused
            case .exited: .exited
            case .missing: .missing
            }
        return SandboxObservation(state, placement: placement)
    }

    /// Includes sandboxes that only the guard knows, whose removal was interrupted, but none with an unreadable record,
    /// which may be another server's.
    package func owned() async throws(RuntimeError) -> [String] {
        let specs = await engine.specs()
        var ids = Set(specs.filter { $0.owner == nil || $0.owner == owner }.map(\.id))
        let recorded = Set(specs.map(\.id))
        for id in await namespaceGuard.guarded where !recorded.contains(id) {
            if await engine.state(of: id) == .missing { ids.insert(id) }
        }
        return ids.sorted()
    }

    package func logTail(of id: String, bytes: Int) async -> String { await engine.logTail(of: id, bytes: bytes) }
    package func logTail(of id: String, bytes: Int, since: Int64) async -> String? {
        await engine.logTail(of: id, bytes: bytes, since: since)
    }
    package func changeStorage(_ storage: StorageConfiguration) { engine.changeStorage(storage) }
    package func isolation(of id: String) async -> String { await engine.isolation(of: id) }
    package var leftovers: [Leftover] { engine.leftovers + layers.removals }

    package func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result {
        if let namespace = namespaces.withLock({ $0[id] }) { return try namespace.run(body) }
        guard let prepared = engine.found(id) else { throw RuntimeError.notFound(id) }
        guard prepared.shared == nil else { return try body() }
        namespaces.withLock { $0[id] = prepared.namespace }
        return try prepared.namespace.run(body)
    }

    package func serves(_ id: String, port: UInt16) -> Bool {
        namespaces.withLock { $0[id] != nil } || engine.serves(id, port: port)
    }

    package func serves(_ id: String, connection: CInt) -> Bool {
        namespaces.withLock { $0[id] != nil } || engine.serves(id, connection: connection)
    }

    /// The image of a sandbox, and the borrowed layers above it, the topmost first.
    private func files(
        of source: SandboxSource, for caller: String?
    ) async throws(RuntimeError) -> (image: SandboxImage, layers: [String]) {
        switch source {
        case .image(let reference, let credentials): (try await image(reference, credentials, for: caller), [])
        case .snapshot(let id): try layers.borrow(id)
        }
    }

    /// Cancelling a create only ends its wait. The fetch continues, for others that want the image.
    func image(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> SandboxImage {
        if let image = images.atHand(reference) { return image }
        let fetch = AbandonedFetches.Fetch(caller: caller, image: reference, credentials: credentials)
        let run = try fetches.enter(fetch)
        defer { fetches.leave(fetch) }
        let (answers, answer) = AsyncStream<Result<SandboxImage, ImageError>>.makeStream()
        Task { [images] in
            defer { withExtendedLifetime(run) {} }
            let result: Result<SandboxImage, ImageError>
            do throws(ImageError) {
                result = .success(try await images.image(reference, credentials: credentials))
            } catch { result = .failure(error) }
            answer.yield(result)
        }
        for await found in answers {
            do throws(ImageError) { return try found.get() } catch {
                throw .image(reason: "\(error)", isCallersFault: error.isCallersFault)
            }
        }
        throw .cancelled
    }

    private static func goOn() throws(RuntimeError) { if Task.isCancelled { throw .cancelled } }
}

extension PreparedSandbox {
    var namespace: NetworkNamespace { NetworkNamespace(existing: namespacePath) }

    var placement: SandboxPlacement {
        if let shared { return SandboxPlacement(.absent, .shared(ports: shared.services)) }
        return SandboxPlacement(
            .namespace(path: namespacePath), .machine(address: "\(address)", addressV6: "\(addressV6)"),
            hostPorts: ports)
    }
}

extension EngineSpec {
    /// The request's settings override the image's, but neither says which sandbox it is.
    init(_ spec: SandboxSpec, _ image: SandboxImage, layers: [String]) {
        var environment = image.environment.merging(spec.environment) { _, asked in asked }
        environment[ExecdVariables.identity] = spec.id
        self.init(
            id: spec.id, imageRoot: image.root, entrypoint: spec.entrypoint, environment: environment,
            workingDirectory: image.workingDirectory.isEmpty ? "/" : image.workingDirectory, limits: spec.limits,
            execdToken: spec.execdToken, owner: spec.labels.owner, isolates: spec.isolates, isHeld: spec.isHeld,
            volumes: spec.volumes, image: image, layers: layers.isEmpty ? nil : layers)
        caller = spec.caller
        ports = spec.ports
        user = Self.root.contains(image.user) ? nil : image.user
    }

    /// An image's words for root, of whom nothing has to be said.
    private static let root: Set = ["", "root", "0", "root:root", "0:0"]
}

extension ImageError {
    /// Errors that the caller can correct; others are the server's or the registry's.
    var isCallersFault: Bool {
        switch self {
        case .invalidReference, .invalidCredentials, .unqualified, .notOnThisMachine, .notFound, .unauthorized,
            .unsupportedPlatform:
            true
        case .unreachable, .pullFailed, .pushFailed, .noSnapshot, .timedOut, .tooLarge, .inUse, .missingTool, .storage:
            false
        }
    }
}
