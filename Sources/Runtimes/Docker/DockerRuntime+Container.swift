import NetworkPolicy
import Spelling

/// The container of a sandbox: made, filled and started, with execd held.
extension DockerRuntime {
    /// Makes it, with execd's files in it; nothing runs yet.
    /// - Parameters:
    ///   - host: the number of its link; nil for none.
    ///   - shared: its ports in the machine's own network; nil for another network.
    /// - Returns: the mounts that are not the runtime's.
    func make(
        _ spec: SandboxSpec, _ image: EngineImage, _ host: UInt32?, _ shared: SharedNetwork?
    ) async throws(RuntimeError) -> ForeignMounts {
        let id = spec.id
        let volume = try await program.ready(image)
        let mounts = try await volumes.open(spec)
        let foreign = try foreignMounts(image, mounts)
        var labels = spec.labels.all.merging(portLabels(id)) { _, port in port }
        labels[DockerNames.partKey] = DockerNames.Part.workload.rawValue
        labels[DockerNames.linkKey] = host.map { String($0) } ?? ""
        labels[DockerNames.execdPortKey] = shared.map { String($0.execd) } ?? ""
        labels[DockerNames.codePortKey] = shared.map { String($0.code) } ?? ""
        // An image may bring this one.
        labels[DockerNames.snapshotKey] = if case .snapshot(let snapshot) = spec.source { snapshot } else { "" }
        let own = [
            SandboxLabels.idKey: id, SandboxLabels.ownerKey: owner,
            DockerNames.partKey: DockerNames.Part.volume.rawValue,
        ]
        var body = ContainerBody(
            image: image.id,
            command: ContainerBody.command(
                user: image.user, maxOutputLine: configuration.maxOutputLine, hasToken: spec.execdToken != nil,
                port: shared?.execd),
            environment: [], labels: labels, limits: spec.limits,
            confinement: shared == nil ? configuration.confinement : configuration.confinement.inMachineNetwork,
            binds: configuration.binds,
            mounts: [
                .init(source: .volume(DockerNames.volume(id), labels: own), target: DockerNames.folder),
                .init(source: .volume(volume, labels: [:]), target: DockerNames.programFolder, isReadOnly: true),
            ] + mounts, maxLog: configuration.maxLog)
        body.own = .init(name: "sandbox-" + id.prefix(8))
        switch network {
        case .machine where shared != nil:
            body.network = "host"
            body.own?.address = Self.ownAddress
        case .machine(let links): body.own?.address = host.map { "\(links.address($0))" }
        case .engine(let sidecars):
            body.isJoinedLater = isJoinedLater(foreign)
            if !body.isJoinedLater { body.network = sidecars.settings.network }
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
                    body: .archive(
                        Self.files(
                            token: spec.execdToken,
                            variables: Self.variables(
                                spec, fleet: configuration.environment, image: image.environment, shared)
                        ).whole)))
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

    /// What the name of a container in the machine's own network means inside, as Debian has it.
    private static let ownAddress = "127.0.1.2"

    /// Those that execd reads at its start. It is told the others when the sandbox begins.
    /// - Parameters:
    ///   - fleet: those of every sandbox.
    ///   - image: those of its image, which only its network's settings are made of.
    static func variables(
        _ spec: SandboxSpec, fleet: [ExactName: String], image: [ExactName: String] = [:],
        _ shared: SharedNetwork? = nil
    ) -> [(ExactName, String)] {
        let given = fleet.filter { !spec.absentVariables.contains($0.key) }
        let told = given.merging(spec.environment) { _, asked in asked }
        var kept = told.filter { name, _ in
            given[name] != nil && spec.environment[name] == nil || ExecdVariables.readAtStart.contains(name)
        }
        if let shared {
            let own = image.filter { !spec.absentVariables.contains($0.key) }
            let all = shared.environment(own.merging(told) { _, asked in asked })
            for name in SharedNetwork.variables { kept[name] = all[name] }
        }
        // An image's or a request's scripts would run, as root, before the sandbox has its policy.
        return kept.sorted { $0.key < $1.key } + ExecdVariables.ofHooks.sorted().map { ($0, "") }
    }

    /// Starts it, and makes the container of the guard that it has beside it meanwhile, which takes the engine a tenth of a second.
    func start(_ spec: SandboxSpec) async throws(RuntimeError) -> ContainerFacts {
        let id = spec.id
        guard case .engine(let sidecars) = network else { return try await start(id) }
        guard let made = try await container(id) else { throw .notFound(id) }
        async let guardMade = RuntimeError.outcome { () throws(RuntimeError) in
            try await sidecars.make(id, network: made.id, policy: spec.policy)
        }
        let started = await RuntimeError.outcome { () throws(RuntimeError) in try await start(id) }
        // Whatever came of the other: what is still being made could not be removed.
        let outcome = await guardMade
        let found = try started.get()
        try outcome.get()
        return found
    }

    private func start(_ id: String) async throws(RuntimeError) -> ContainerFacts {
        do throws(EngineFailure) {
            try await engine.send(EngineCall("POST", "containers", DockerNames.container(id), "start"))
        } catch {
            // Somebody may have emptied the volume with execd. What else an engine refuses is no reason to write it again, under
            // the eyes of others that start.
            if error.status != nil, "\(error)".contains(DockerNames.execd) { program.forget() }
            throw refused(error, id)
        }
        guard let found = try await container(id), found.state.phase == .running else {
            throw .startFailed(id: id, reason: "it ended at once: \(await lastWords(of: id))")
        }
        return found
    }

    /// An engine's refusal. Where a number of the request's is at fault, the caller can correct it.
    private func refused(_ failure: EngineFailure, _ id: String) -> RuntimeError {
        switch failure.kind {
        case .refused where failure.isOfDisks: .unlimitedDisks("the engine says: \(failure)")
        case .refused where failure.isOfSpace: RuntimeError(failure, "making \(id)")
        case .refused where failure.isOfALimit: .startFailed(id: id, reason: "\(failure)", isCallersFault: true)
        case .refused: .startFailed(id: id, reason: "\(failure)")
        default: RuntimeError(failure, "making \(id)")
        }
    }
}
