import HTTPServer
import NIOHTTP1
import System

/// `/ready` and `/internal/init`: the start of sandboxes that are made ahead of their use (docs/execd.md#gated-start).
struct InitAPI: Sendable {
    let gate: GatedStart
    let runner: CommandRunner
    let hooks: PeriodicHooks
    /// Those of the environment, which begin with the sandbox.
    let configured: [LifecycleHooks.Periodic]
    /// What a held sandbox wants to be told with.
    let access: AccessRule

    private struct Readiness: Encodable {
        var initialized: Bool
        var sandboxId: String?
        var generation: Int64?
    }

    private struct Done: Encodable {
        var status = "initialized"
        var sandboxId: String
        var generation: Int64
    }

    /// Both are asked by who has no token yet, and tell nothing of a sandbox that its address does not. A held sandbox has one from
    /// its start: whoever else may reach it from its machine must not be the one who begins it.
    func add(to http: inout HTTPAPI) {
        http.on(.GET, "/ready", access: .open) { _ in
            let told = gate.told
            return .json(
                gate.isOpen ? .ok : .serviceUnavailable,
                Readiness(initialized: gate.isOpen, sandboxId: told?.sandboxId, generation: told?.generation))
        }
        http.on(.POST, "/internal/init", access: .open) { try await initialise($0) }
    }

    private func initialise(_ request: HTTPRequest) async throws -> Reply {
        guard !request.isOfAPage else {
            throw ExecdError(.forbidden, "FORBIDDEN", "pages may not initialise a sandbox")
        }
        guard !gate.isHeld || access.admits(request.headers.first(name: ExecdAPI.tokenHeader)) else {
            throw ExecdError(.unauthorized, "UNAUTHORIZED", "\(ExecdAPI.tokenHeader) is missing or wrong")
        }
        let bytes = try await request.wholeBody()
        let wanted = try InitRequest.decode(bytes)
        guard wanted.entrypoint == nil || gate.isHeld || wanted.entrypointPolicy == .restart else {
            throw RequestBodyError("entrypoint: this sandbox's program runs; give entrypointPolicy restart with it")
        }
        guard gate.begin() else {
            throw ExecdError(
                .conflict, "ALREADY_INITIALIZED",
                gate.isGated ? "this sandbox has been initialised" : "this sandbox was not started to be initialised")
        }
        do {
            if let hook = wanted.lifecycle?.preStart {
                let limit = hook.timeoutSeconds ?? LifecycleHooks.usualSeconds
                if let failure = await HookRun.failure(of: hook.command, within: limit, runner) {
                    throw ExecdError.failed("the hook preStart failed: \(failure)")
                }
            }
            try gate.complete(wanted, bytes)
        } catch {
            gate.giveUp()
            throw error
        }
        guard await gate.heldProgramRuns() else {
            throw ExecdError.failed("the sandbox's program could not be started: its output says why")
        }
        hooks.begin(configured + (wanted.lifecycle?.periodic ?? []))
        return .json(.ok, Done(sandboxId: wanted.sandboxId, generation: wanted.generation))
    }
}
