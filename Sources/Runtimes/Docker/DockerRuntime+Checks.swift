import Spelling
import Synchronization

/// What is asked of the engine before a sandbox is made.
extension DockerRuntime {
    /// Whether the engine has the runtime that sandboxes are to have; asked once of each engine that answers.
    func checkRuntime() async throws(RuntimeError) {
        guard let name = configuration.confinement.runtime, !memory.withLock(\.isRuntimeChecked) else { return }
        let info: EngineInfo
        do throws(EngineFailure) { info = try await engine.get(EngineCall("GET", "info")) } catch {
            throw RuntimeError(error, "asking the engine for its runtimes")
        }
        if let obstacle = info.obstacle(to: name) {
            throw .system(action: "starting sandboxes under gVisor", reason: obstacle)
        }
        memory.withLock { $0.isRuntimeChecked = true }
    }
}

extension EngineInfo {
    /// Why sandboxes cannot have a runtime of gVisor's; nil if they can.
    func obstacle(to runtime: String) -> String? {
        guard let found = runtimes?[ExactName(runtime)] else {
            let names = (runtimes ?? [:]).keys.map(\.text).sorted().joined(separator: ", ")
            return "the engine has no runtime \(runtime), only \(names): add it to its daemon.json, or set "
                + "secure_runtime.docker_runtime"
        }
        // Its own network takes the links that are there when it starts, and sends below the guard's rules.
        guard found.arguments?.contains("--network=host") == true else {
            return
                "the engine's runtime \(runtime) is not started with --network=host, so that its packets would pass the guard: "
                + "add it to its runtimeArgs in daemon.json"
        }
        return nil
    }
}
