import SafeText
import Spelling
import Synchronization

/// What is asked of the engine before a sandbox is made.
extension DockerRuntime {
    package func checkReady() async throws(RuntimeError) {
        do throws(EngineFailure) { try await engine.send(EngineCall("GET", "_ping")) } catch {
            throw RuntimeError(error, "asking the engine whether it serves")
        }
    }

    /// Whether the engine has the runtime that sandboxes are to have; asked once of each engine that answers.
    func checkRuntime() async throws(RuntimeError) {
        guard let name = configuration.confinement.runtime, !memory.withLock(\.isRuntimeChecked) else { return }
        let info: EngineInfo = try await info("its runtimes")
        if let obstacle = info.obstacle(to: name) {
            throw .system(action: "starting sandboxes under gVisor", reason: obstacle)
        }
        memory.withLock { $0.isRuntimeChecked = true }
    }

    /// Whether the engine can limit what a container writes.
    func checkDisks() async throws(RuntimeError) {
        guard !memory.withLock(\.limitsDisks) else { return }
        let storage: EngineStorage = try await info("its storage driver")
        if let obstacle = storage.obstacle { throw .unlimitedDisks(obstacle) }
        memory.withLock { $0.limitsDisks = true }
    }

    private func info<Part: Decodable>(_ what: String) async throws(RuntimeError) -> Part {
        do throws(EngineFailure) { return try await engine.get(EngineCall("GET", "info")) } catch {
            throw RuntimeError(error, "asking the engine for \(what)")
        }
    }
}

extension RuntimeError {
    static func unlimitedDisks(_ reason: String) -> RuntimeError {
        .unsupported(
            "resourceLimits.disk (\(reason): it needs btrfs, zfs, or overlay2 on xfs that is mounted with pquota)")
    }
}

extension EngineStorage {
    /// Why containers cannot have a limit of what they write; nil if they can, or only a create would tell: the engine does not say
    /// how its file system is mounted.
    var obstacle: String? {
        switch driver {
        case "btrfs", "zfs": return nil
        case "overlay2":
            let below = status?.first { $0.first == "Backing Filesystem" }?.dropFirst().first
            return below == "xfs" ? nil : "the engine's storage driver is overlay2 on \(Self.word(below))"
        default: return "the engine's storage driver is \(Self.word(driver))"
        }
    }

    private static func word(_ text: String?) -> String { ForeignText.escaped(text ?? "something else", limit: 40) }
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
