import Addresses
import HTTPClient
import Logging
import NetworkPolicy
import Spelling
import Synchronization
import System

extension DockerRuntime {
    package func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement {
        let id = try Self.checked(spec.id)
        // Before anything is done that a failure would undo.
        guard !hasBegun(id), memory.withLock({ $0.tokens[id] == nil && $0.making.insert(id).inserted }) else {
            throw .alreadyExists(id)
        }
        defer { memory.withLock { _ = $0.making.remove(id) } }
        let image = try await image(of: spec.source)
        reached(.imageReady)
        do throws(RuntimeError) {
            let host: UInt32? = if case .machine(let links) = network { try await links.lease(id) } else { nil }
            let (found, mounts) = try await started(spec, image, host)
            var placement = try await guarded(found, host, spec, mounts)
            placement.image = .digest(image.id)
            try await publish(id)
            try Self.goOn()
            if spec.isHeld {
                memory.withLock { $0.tokens[id] = spec.execdToken }
            } else {
                let use = SandboxUse(
                    id: id, entrypoint: spec.entrypoint,
                    environment: spec.environment.filter { !ExecdVariables.readAtStart.contains($0.key) },
                    policy: spec.policy)
                try await begin(use, found, placement, token: spec.execdToken)
            }
            return placement
        } catch {
            // In a separate task, because this one may have been cancelled.
            await Task { await self.giveUp(id) }.value
            throw error
        }
    }

    /// Has the policy in force before anything of the image runs, and waits for execd.
    private func guarded(
        _ found: ContainerFacts, _ host: UInt32?, _ spec: SandboxSpec, _ mounts: ForeignMounts
    ) async throws(RuntimeError) -> SandboxPlacement {
        let id = spec.id
        switch network {
        case .machine(let links):
            guard let host else { throw .notFound(id) }
            let process = try ContainerProcess(found.state.process, of: found.id)
            if looksAtPrograms, !mounts.all.isEmpty { try await checkProgram(found, process) }
            try await links.connect(id, host: host, process)
            try Self.goOn()
            try await namespaceGuard.protect(id, namespace: links.namespace(id), policy: spec.policy)
            try Self.goOn()
            guard let placement = placement(id, found) else { throw .notFound(id) }
            try await wait(id, placement, process)
            return placement
        case .engine(let sidecars):
            try await sidecars.start(id, found, policy: spec.policy)
            guard let placement = placement(id, found) else { throw .notFound(id) }
            try await wait(id, placement, nil)
            return placement
        }
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
        defer { memory.withLock { _ = $0.making.remove(id) } }
        do throws(RuntimeError) {
            switch network {
            case .machine: try await namespaceGuard.replace(id, with: use.policy)
            case .engine(let sidecars): try await sidecars.replace(id, placement, with: use.policy)
            }
            try await begin(use, found, placement, token: token)
            return placement
        } catch {
            await Task { await self.giveUp(id) }.value
            throw error
        }
    }

    // MARK: steps

    /// - Returns: the mounts that are not the runtime's.
    func make(
        _ spec: SandboxSpec, _ image: EngineImage, _ host: UInt32?
    ) async throws(RuntimeError) -> ForeignMounts {
        let id = spec.id
        let volume = try await program.ready(image)
        let mounts = try await volumes.open(spec)
        let foreign = try foreignMounts(image, mounts)
        var labels = spec.labels.all
        labels[DockerNames.partKey] = DockerNames.Part.workload.rawValue
        labels[DockerNames.linkKey] = host.map { String($0) } ?? ""
        // An image may bring this one.
        labels[DockerNames.snapshotKey] = if case .snapshot(let snapshot) = spec.source { snapshot } else { "" }
        let own = [
            SandboxLabels.idKey: id, SandboxLabels.ownerKey: owner,
            DockerNames.partKey: DockerNames.Part.volume.rawValue,
        ]
        var body = ContainerBody(
            image: image.id,
            command: ContainerBody.command(
                user: image.user, maxOutputLine: configuration.maxOutputLine, hasToken: spec.execdToken != nil),
            environment: [], labels: labels, limits: spec.limits,
            confinement: configuration.confinement, binds: configuration.binds,
            mounts: [
                .init(source: .volume(DockerNames.volume(id), labels: own), target: DockerNames.folder),
                .init(source: .volume(volume, labels: [:]), target: DockerNames.programFolder, isReadOnly: true),
            ] + mounts, maxLog: configuration.maxLog)
        body.own = .init(name: "sandbox-" + id.prefix(8))
        switch network {
        case .machine(let links): body.own?.address = host.map { "\(links.address($0))" }
        case .engine(let sidecars): body.network = sidecars.settings.network
        }
        body.bindings = try bindings(id)
        do throws(EngineFailure) {
            try await engine.make(
                EngineCall(
                    "POST", "containers", "create", query: [("name", DockerNames.container(id))], body: .json(body.json)
                ))
        } catch {
            if error.status == 409 { throw .alreadyExists(id) }
            throw refused(error, id)
        }
        try Self.goOn()
        try await check(foreign, of: id)
        do throws(EngineFailure) {
            try await engine.send(
                EngineCall(
                    "PUT", "containers", DockerNames.container(id), "archive", query: [("path", DockerNames.folder)],
                    body: .archive(Self.files(token: spec.execdToken, variables: variables(spec)).whole)))
        } catch { throw refused(error, id) }
        return foreign
    }

    /// What the contract's paths lead to, and what execd reads at its start: neither the engine's lists nor an image of the
    /// container has any of it.
    /// - Parameter variables: the later of two with one name counts.
    static func files(token: String?, variables: [(ExactName, String)]) -> StagedArchive {
        var files = StagedArchive()
        files.add(link: "execd", to: "lib/execd")
        if let token { files.add(file: "token", mode: 0o400, Array(token.utf8)) }
        files.add(file: "variables", mode: 0o400, variables.flatMap { Array("\($0.0)=\($0.1)\0".utf8) })
        return files
    }

    /// Those that execd reads at its start. It is told the others when the sandbox begins.
    private func variables(_ spec: SandboxSpec) -> [(ExactName, String)] {
        let fleet = configuration.environment.merging(spec.environment) { _, asked in asked }
        let kept = fleet.filter { name, _ in
            configuration.environment[name] != nil && spec.environment[name] == nil
                || ExecdVariables.readAtStart.contains(name)
        }
        // An image's or a request's scripts would run, as root, before the sandbox has its policy.
        return kept.sorted { $0.key < $1.key } + ExecdVariables.ofHooks.sorted().map { ($0, "") }
    }

    func start(_ id: String) async throws(RuntimeError) -> ContainerFacts {
        do throws(EngineFailure) {
            try await engine.send(EngineCall("POST", "containers", DockerNames.container(id), "start"))
        } catch {
            // Somebody may have emptied the volume with execd. What else an engine refuses is no reason to write it again, under
            // the eyes of others that start.
            if error.status != nil, "\(error)".contains(DockerNames.execd) { program.forget() }
            throw refused(error, id)
        }
        guard let found = try await container(id), found.state.phase == .running else {
            throw .startFailed(id: id, reason: "it ended at once: \(await logTail(of: id, bytes: 2000))")
        }
        return found
    }

    /// Milliseconds that execd may take to listen.
    private static let patience = 20_000

    /// - Parameter process: nil where it is not this machine's.
    private func wait(
        _ id: String, _ placement: SandboxPlacement, _ process: ContainerProcess?
    ) async throws(RuntimeError) {
        guard let address = placement.address else { throw .notFound(id) }
        let outcome = await threads.run {
            StartWait.dial(
                address, StartWait.execdPort, within: Self.patience, watching: process?.descriptor ?? -1)
        }
        switch outcome {
        case .reached: return
        case .ended:
            throw .startFailed(id: id, reason: "execd has ended: \(await logTail(of: id, bytes: 2000))")
        case .failed(let reason): throw .startFailed(id: id, reason: "execd is not reached: \(reason)")
        }
    }

    private func begin(
        _ use: SandboxUse, _ found: ContainerFacts, _ placement: SandboxPlacement, token: String?
    ) async throws(RuntimeError) {
        guard let address = placement.address else { throw .notFound(use.id) }
        if let refusal = try await HeldStart(use).tell(address, token: token) {
            // Its output says why a program cannot be started.
            let output = await logTail(of: use.id, bytes: 2000)
            throw .startFailed(
                id: use.id, reason: output.isEmpty ? refusal.reason : "\(refusal.reason); it said: \(output)",
                isCallersFault: refusal.isAnswer)
        }
        try noteBegun(use.id, found)
    }

    /// An engine's refusal. Where a number of the request's is at fault, the caller can correct it.
    private func refused(_ failure: EngineFailure, _ id: String) -> RuntimeError {
        switch failure.kind {
        case .refused where failure.isOfALimit: .startFailed(id: id, reason: "\(failure)", isCallersFault: true)
        case .refused: .startFailed(id: id, reason: "\(failure)")
        default: RuntimeError(failure, "making \(id)")
        }
    }

    private static func goOn() throws(RuntimeError) { if Task.isCancelled { throw .cancelled } }

    package func revision(ofImage reference: String) async -> ImageRevision? {
        guard let name = try? ImageReference(reference).familiar else { return nil }
        return (try? await images.find(name)).flatMap { $0.map { .digest($0.id) } }
    }

    package func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage {
        let image = try await images.image(reference, credentials)
        return KeptImage(
            reference: (try? ImageReference(reference).description) ?? reference, digest: image.id,
            access: credentials == nil ? .open : .restricted, isUsed: nil)
    }

    private func image(of source: SandboxSource) async throws(RuntimeError) -> EngineImage {
        let image: EngineImage
        switch source {
        case .image(let reference, let credentials): image = try await images.image(reference, credentials)
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

extension SandboxPlacement {
    /// Where execd is dialled.
    fileprivate var address: IPv4Address? {
        switch reach {
        case .machine(let address, _), .pod(let address): IPv4Address(address)
        case .published, .shared: nil
        }
    }
}
