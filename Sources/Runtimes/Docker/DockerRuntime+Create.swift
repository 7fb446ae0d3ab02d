import Addresses
import HTTPClient
import Logging
import NetworkPolicy
import Spelling
import Synchronization
import System
import Tracing

extension DockerRuntime {
    package func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement {
        let id = try Self.checked(spec.id)
        // Before anything is done that a failure would undo.
        guard !hasBegun(id), memory.withLock({ $0.tokens[id] == nil && $0.making.insert(id).inserted }) else {
            throw .alreadyExists(id)
        }
        defer { endMaking(id) }
        // One that is held gets its policy with its use.
        if configuration.sharesNetwork, !spec.isHeld { try spec.policy.checkUnguarded() }
        let image = try await CreateStep.image.timed { () async throws(RuntimeError) -> EngineImage in
            try await self.image(of: spec.source, for: spec.caller)
        }
        reached(.imageReady)
        do throws(RuntimeError) {
            let made = try await CreateStep.prepare.timed { () async throws(RuntimeError) -> HeldContainer in
                var host: UInt32?
                if case .machine(let links) = network, !configuration.sharesNetwork { host = try await links.lease(id) }
                return try await started(spec, image, host)
            }
            try Self.goOn()
            let (guarded, process) = try await CreateStep.protect.timed { () async throws(RuntimeError) in
                try await protect(made, spec)
            }
            var placement = guarded
            placement.image = .digest(image.id)
            try Self.goOn()
            try await CreateStep.start.timed { () async throws(RuntimeError) in
                try await start(made, guarded, process, spec)
            }
            return placement
        } catch {
            // In a separate task, because this one may have been cancelled.
            await Task { await self.giveUp(id) }.value
            throw error
        }
    }

    /// Has the policy in force before anything of the image runs.
    /// - Returns: its first process where that is this machine's, too.
    private func protect(
        _ made: HeldContainer, _ spec: SandboxSpec
    ) async throws(RuntimeError) -> (SandboxPlacement, ContainerProcess?) {
        let id = spec.id
        var process = made.process, found = made.found
        switch network {
        case .machine where made.found.shared != nil:
            guard let process else { throw .notFound(id) }
            if looksAtPrograms(made.mounts) { try await checkProgram(made.found, process) }
        case .machine(let links):
            guard let host = made.host else { throw .notFound(id) }
            let first = try ContainerProcess(made.found.state.process, of: made.found.id)
            if looksAtPrograms(made.mounts) { try await checkProgram(made.found, first) }
            try await links.connect(id, host: host, first)
            try Self.goOn()
            try await namespaceGuard.protect(id, namespace: links.namespace(id), policy: spec.policy)
            process = first
        case .engine(let sidecars):
            found = try await join(made, sidecars)
            try Self.goOn()
            try await sidecars.start(id, found)
        }
        guard let placement = placement(id, found) else { throw .notFound(id) }
        return (placement, process)
    }

    /// Waits for execd, opens what is published, and tells it what to run unless that comes later.
    private func start(
        _ made: HeldContainer, _ placement: SandboxPlacement, _ process: ContainerProcess?, _ spec: SandboxSpec
    ) async throws(RuntimeError) {
        let id = spec.id
        // It has been reached already where its port is to be held.
        if made.found.shared == nil {
            guard let (address, port) = execd(of: placement) else { throw .notFound(id) }
            try await wait(id, address, port, process)
        }
        try await publish(id)
        try Self.goOn()
        guard !spec.isHeld else {
            memory.withLock { $0.tokens[id] = spec.execdToken }
            return
        }
        let use = SandboxUse(
            id: id, entrypoint: spec.entrypoint,
            environment: spec.environment.filter { !ExecdVariables.readAtStart.contains($0.key) }, policy: spec.policy)
        try await begin(use, made.found, placement, token: spec.execdToken)
    }

    package func begin(_ use: SandboxUse) async throws(RuntimeError) -> SandboxPlacement {
        let id = try Self.checked(use.id)
        guard let found = try await container(id), let placement = placement(id, found) else { throw .notFound(id) }
        // One request is given the token, and with it the sandbox; nothing of it is anybody else's to undo.
        let token: String? = memory.withLock { memory in
            guard memory.making.insert(id).inserted else { return nil }
            guard let token = memory.tokens.removeValue(forKey: id) else {
                memory.making.remove(id)
                return nil
            }
            return token
        }
        guard let token else { throw .wrongState(id: id, state: "in use", needed: "held") }
        defer { endMaking(id) }
        do throws(RuntimeError) {
            try await CreateStep.policy.timed { () async throws(RuntimeError) in
                switch network {
                case _ where found.shared != nil: try use.policy.checkUnguarded()
                case .machine: try await namespaceGuard.replace(id, with: use.policy)
                case .engine(let sidecars): try await sidecars.replace(id, placement, with: use.policy)
                }
            }
            try await CreateStep.begin.timed { () async throws(RuntimeError) in
                try await begin(use, found, placement, token: token)
            }
            return placement
        } catch {
            await Task { await self.giveUp(id) }.value
            throw error
        }
    }

    // MARK: steps

    /// Milliseconds that execd may take to listen.
    private static let patience = 20_000

    /// - Parameter process: nil where it is not this machine's.
    func wait(
        _ id: String, _ address: IPv4Address, _ port: UInt16, _ process: ContainerProcess?
    ) async throws(RuntimeError) {
        let outcome = await ActiveSpan.within(CreateStep.reach) {
            await threads.run {
                StartWait.dial(address, port, within: Self.patience, watching: process?.descriptor ?? -1)
            }
        }
        switch outcome {
        case .reached: return
        case .ended:
            throw .startFailed(id: id, reason: "execd has ended: \(await lastWords(of: id))")
        case .failed(let reason): throw .startFailed(id: id, reason: "execd cannot be reached: \(reason)")
        }
    }

    private func begin(
        _ use: SandboxUse, _ found: ContainerFacts, _ placement: SandboxPlacement, token: String?
    ) async throws(RuntimeError) {
        guard let (address, port) = execd(of: placement) else { throw .notFound(use.id) }
        var use = use
        let id = use.id
        if found.shared != nil {
            // It has its own, which execd was told at its start.
            use.environment["JUPYTER_PORT"] = nil
            // Nobody else is told the token.
            guard await threads.run({ self.serves(id, port: port) }) else {
                throw .startFailed(id: id, reason: "its execd does not listen on \(address):\(port) any more")
            }
        }
        if let refusal = try await HeldStart(use).tell(address, port, token: token) {
            let output = await lastWords(of: id)
            throw .startFailed(
                id: id, reason: output.isEmpty ? refusal.reason : "\(refusal.reason); it said: \(output)",
                isCallersFault: refusal.isAnswer)
        }
        try noteBegun(id, found)
    }

    /// The output that says why a program cannot be started. The engine may have it a moment after its end is known.
    func lastWords(of id: String) async -> String {
        for _ in 0..<10 {
            let words = await logTail(of: id, bytes: 2000)
            if !words.isEmpty { return words }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return ""
    }

    static func goOn() throws(RuntimeError) { if Task.isCancelled { throw .cancelled } }

    package func revision(ofImage reference: String) async -> ImageRevision? {
        guard let name = try? ImageReference(reference).familiar else { return nil }
        return (try? await images.find(name)).flatMap { $0.map { .digest($0.id) } }
    }

    package func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage {
        let image = try await images.image(reference, credentials, for: caller)
        // The engine's id is no digest of a manifest. Credentials that nobody has checked make no image private.
        return KeptImage(
            reference: (try? ImageReference(reference).description) ?? reference, digest: "",
            access: images.isOpen(image) ? .open : .restricted, isUsed: nil)
    }

    private func image(of source: SandboxSource, for caller: String?) async throws(RuntimeError) -> EngineImage {
        let image: EngineImage
        switch source {
        case .image(let reference, let credentials): image = try await images.image(reference, credentials, for: caller)
        case .snapshot(let id): image = try await snapshotImage(id)
        }
        let bytes = (image.configuration?.labels ?? [:]).reduce(0) { $0 + $1.key.text.utf8.count + $1.value.utf8.count }
        guard bytes <= Self.maxLabels else {
            throw .image(
                reason: "the image's labels come to \(bytes) bytes, more than \(Self.maxLabels)", isCallersFault: true)
        }
        return image
    }

    /// Each event of a container carries its image's labels, a byte as up to six, in a line that is bounded.
    private static let maxLabels = 128 << 10
}
