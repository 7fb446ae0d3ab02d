import Egress
import HTTPServer
import NIOHTTP1

/// `/sandboxes/{id}/networkpolicy`: the policy of a sandbox and what its guard says of it, with the API key, wherever the guard
/// is (docs/wire.md#policy).
extension LifecycleAPI {
    func networkPolicy(_ call: Call) async throws(APIError) -> Reply {
        let (id, request) = (call.id, call.request)
        let body = try await body(request)
        _ = try service.sandbox(id)
        return try await ofGuard(id, "the policy of sandbox \(id) could not be enforced or stored; nothing was changed")
        {
            () async throws(EgressError) in
            let change = try PolicyRequest(
                method: request.method.rawValue, body: body, maxRules: .max, presets: limits.presets)
            let status = try await change.perform(on: id, with: service.egress)
            // An access like one through the proxy (contract), but of nobody who may only look.
            let skips = request.headers.first(name: "opensandbox-access-renew")?.lowercased() == "skip"
            routes.accessed(sandbox: id, renew: !skips && call.caller.scope >= .operate)
            return .encodedJSON(.ok, status.encodedJSON())
        }
    }

    /// `…/explain?target=…[&port=…&protocol=…]`
    func explanation(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        try await looking(id) { (guards) async throws(EgressError) in
            .encodedJSON(.ok, try await guards.explained(id, try PolicyQuestion(query: request.query)))
        }
    }

    /// `…/suggestion`
    func suggestion(_ id: String) async throws(APIError) -> Reply {
        try await looking(id) { (guards) async throws(EgressError) in .encodedJSON(.ok, try await guards.suggested(id))
        }
    }

    /// `…/effective`
    func effectivePolicy(_ id: String) async throws(APIError) -> Reply {
        try await looking(id) { (guards) async throws(EgressError) in .encodedJSON(.ok, try await guards.effective(id))
        }
    }

    /// `…/events`: a stream, which ends when the key is revoked; with `limit` or `after` a page.
    func policyEvents(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        try await looking(id) { [self] (guards) async throws(EgressError) in
            guard request.query.isEmpty else {
                return .encodedJSON(.ok, try await guards.eventPage(id, try EventQuery(query: request.query)))
            }
            guard request.method != .HEAD else { return Reply(.ok, headers: EventStream.headers) }
            return try await guards.eventStream(id, after: request.headers["Last-Event-ID"].first) {
                // Without waiting: what is answered counts at the next look.
                _ = self.question(about: request)
                guard let caller = try? self.caller(of: request), (try? caller.require(.read)) != nil,
                    let sandbox = try? self.service.sandbox(id)
                else { return false }
                return caller.owns(sandbox)
            }
        }
    }

    /// A question, which is no use of the sandbox: it does not renew its life.
    private func looking(
        _ id: String, _ ask: (SandboxGuards) async throws(EgressError) -> Reply
    ) async throws(APIError) -> Reply {
        _ = try service.sandbox(id)
        return try await ofGuard(id, "the guard of sandbox \(id) could not answer") { () async throws(EgressError) in
            try await ask(service.egress)
        }
    }

    /// What a guard refuses, in the shape of this API.
    /// - Parameter failure: what the caller is told of what the kernel, the disk or the guard's process said.
    private func ofGuard(
        _ id: String, _ failure: String, _ body: () async throws(EgressError) -> Reply
    ) async throws(APIError) -> Reply {
        guard try service.sandbox(id).network?.sharesMachine != true else {
            throw .notSupported(
                "sandbox \(id) shares this machine's network (network_mode = \"host\"): nobody guards it, and it has "
                    + "no policy")
        }
        do throws(EgressError) { return try await body() } catch {
            switch error {
            case .notGuarded: throw service.unknownSandbox(id)
            case .invalidPolicy, .invalidIdentifier, .tooManyRules: throw .parameter("\(error)")
            case .unreachable: throw .guardAway(id)
            case .unsupported: throw .notSupported("\(error)", code: "SANDBOX::API_NOT_SUPPORTED")
            case .kernel, .guardedTwice, .storage, .remote:
                _ = service.failed("SANDBOX::INTERNAL_ERROR", "asking the guard of", id, error)
                throw APIError(.internalServerError, "SANDBOX::INTERNAL_ERROR", failure)
            }
        }
    }
}
