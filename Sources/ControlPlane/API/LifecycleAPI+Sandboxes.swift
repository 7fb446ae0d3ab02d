import HTTPServer
import NIOHTTP1

extension LifecycleAPI {
    /// `/sandboxes` and what is below it.
    /// - Parameter prefix: empty, or `/v1`.
    func addSandboxes(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/sandboxes", one = all + "/{id}"
        /// A route of one sandbox, which is its owner's and the administrators'.
        func on(
            _ method: HTTPMethod, _ pattern: String, _ scope: KeyScope = .operate,
            _ handler: @escaping @Sendable (Call) async throws -> Reply
        ) {
            add(to: &http, method, pattern, scope) { [self] call in
                guard call.caller.owns(service.catalog[call.id]) else { throw service.unknownSandbox(call.id) }
                return try await handler(call)
            }
        }
        add(to: &http, .POST, all, .operate) { [self] in try await create($0) }
        add(to: &http, .GET, all, .read) { [self] in try list($0) }
        // Also one that is being deleted, so that a failed deletion can be seen.
        on(.GET, one, .read) { [self] call in
            guard let sandbox = service.catalog[call.id] else { throw service.unknownSandbox(call.id) }
            return .json(.ok, SandboxView(sandbox))
        }
        on(.DELETE, one) { [self] in
            try await service.delete($0.id)
            return .empty(.noContent)
        }
        on(.POST, one + "/pause") { [self] in
            try await service.pause($0.id)
            return .empty(.accepted)
        }
        on(.POST, one + "/resume") { [self] in
            try await service.resume($0.id)
            return .empty(.accepted)
        }
        on(.POST, one + "/renew-expiration") { [self] in try await renew($0.id, $0.request) }
        on(.PATCH, one + "/metadata") { [self] in try await patchMetadata($0.id, $0.request) }
        for method in [HTTPMethod.GET, .PUT, .PATCH, .DELETE] {
            on(method, one + "/networkpolicy", method == .GET ? .read : .operate) { [self] in
                try await networkPolicy($0)
            }
        }
        let policy = one + "/networkpolicy"
        on(.GET, policy + "/explain", .read) { [self] in try await explanation($0.id, $0.request) }
        on(.GET, policy + "/suggestion", .read) { [self] in try await suggestion($0.id) }
        on(.GET, policy + "/effective", .read) { [self] in try await effectivePolicy($0.id) }
        on(.GET, policy + "/events", .read) { [self] in try await policyEvents($0.id, $0.request) }
        on(.GET, one + "/endpoints/{port}") { [self] in
            try await endpoint($0.id, $0["port"], $0.request, isVersioned: !prefix.isEmpty)
        }
        on(.POST, one + "/endpoints/{port}/revoke") { [self] in
            _ = try port($0["port"])
            try await service.revokeAccess($0.id)
            return .empty(.noContent)
        }
        for kind in DiagnosticsQuery.Kind.allCases {
            on(.GET, one + "/diagnostics/\(kind.rawValue)", .read) { [self] in
                try await diagnostics($0.id, kind, $0.request)
            }
        }
    }

    private func list(_ call: Call) throws(APIError) -> Reply {
        try check(call.request, parameters: ListQuery.parameters)
        let all = service.catalog.all
        let own = call.caller.scope == .admin ? all : all.filter(call.caller.owns)
        return .json(.ok, SandboxPage(own, try ListQuery(call.request.query)))
    }

    private func create(_ call: Call) async throws(APIError) -> Reply {
        let create = try CreateRequest(try await json(call.request), limits: limits)
        if let snapshot = create.snapshot { _ = try self.snapshot(snapshot, call.caller) }
        let sandbox = try await service.create(create, owner: call.caller.key)
        var view = SandboxView(sandbox, showsSource: false)
        // The contract's answer repeats the request.
        if let sent = create.sentEntrypoint { view.entrypoint = sent }
        return .json(.accepted, view, headers: ["location": "/v1/sandboxes/\(sandbox.id)"])
    }

    private func renew(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        let end = try RenewRequest(try await json(request), limits: limits).end
        return .json(.ok, ["expiresAt": "\(try await service.renew(id, until: end))"])
    }

    private func patchMetadata(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        let patch = try MetadataPatch(try await json(request))
        return .json(.ok, SandboxView(try await service.patchMetadata(id, patch.entries)))
    }
}
