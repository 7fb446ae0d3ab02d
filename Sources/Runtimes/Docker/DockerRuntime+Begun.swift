import System

#if canImport(Glibc)
    import Glibc
#endif

/// Whether a sandbox's program has begun, which the engine does not know.
extension DockerRuntime {
    static func begunFolder(_ configuration: DockerConfiguration) -> String { configuration.stateDirectory + "/begun" }
    /// The ids of those that have begun, under whatever server.
    static func begun(_ configuration: DockerConfiguration) -> [String] {
        File.names(in: begunFolder(configuration)) ?? []
    }

    private func begunFile(_ id: String) -> String { Self.begunFolder(configuration) + "/" + id }
    func hasBegun(_ id: String) -> Bool { access(begunFile(id), F_OK) == 0 }

    /// Whether it has, since the container was started last: one that somebody starts again has neither network nor program.
    func hasBegun(_ id: String, _ found: ContainerFacts) -> Bool {
        File.text(begunFile(id), limit: 4096) == found.state.startedAt ?? ""
    }

    /// Until this is written, another server takes the sandbox for one that waits, and removes it.
    /// - Parameter found: since it was started.
    func noteBegun(_ id: String, _ found: ContainerFacts) throws(RuntimeError) {
        do throws(SystemCallError) {
            try File.write(Array((found.state.startedAt ?? "").utf8), to: begunFile(id), mode: 0o600)
        } catch {
            throw .system(action: "writing \(begunFile(id))", reason: "\(error)")
        }
    }

    func forgetBegun(_ id: String) { unlink(begunFile(id)) }
}
