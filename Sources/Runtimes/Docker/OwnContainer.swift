/// A container of a sandbox's by what it is: its name is anybody's to change, and another's to take.
struct OwnContainer: Hashable, Sendable {
    var sandbox: String
    /// `workload` or `sidecar`.
    var part: DockerNames.Part
    /// This server's name.
    var owner: String

    private var name: String {
        part == .sidecar ? DockerNames.sidecar(sandbox) : DockerNames.container(sandbox)
    }
    /// It alone has this one. A container of an image that somebody made of the sandbox has its labels only.
    private var volume: String {
        part == .sidecar ? DockerNames.sidecarVolume(sandbox) : DockerNames.volume(sandbox)
    }

    /// - Returns: nil where there is none.
    func find(_ engine: EngineClient) async throws(EngineFailure) -> ContainerFacts? {
        if let found = try await inspect(name, engine) { return found }
        let filters = EngineCall.filters([
            "label": [
                DockerNames.filter(SandboxLabels.idKey, sandbox), DockerNames.filter(SandboxLabels.ownerKey, owner),
                DockerNames.filter(DockerNames.partKey, part.rawValue),
            ],
            "volume": [volume],
        ])
        let listed: [ListedContainer] = try await engine.get(
            EngineCall("GET", "containers", "json", query: [("all", "true"), filters]))
        for one in listed {
            if let found = try await inspect(one.id, engine) { return found }
        }
        return nil
    }

    /// - Returns: nil for one of another server, or of nobody's.
    private func inspect(_ name: String, _ engine: EngineClient) async throws(EngineFailure) -> ContainerFacts? {
        let found: ContainerFacts? = try await engine.find(EngineCall("GET", "containers", name, "json"))
        guard let found, found[label: SandboxLabels.idKey] == sandbox, found[label: SandboxLabels.ownerKey] == owner
        else { return nil }
        return found
    }
}
