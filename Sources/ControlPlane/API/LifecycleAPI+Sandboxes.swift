import HTTPServer
import NIOHTTP1

extension LifecycleAPI {
    /// `/sandboxes` and what is below it.
    /// - Parameter prefix: empty, or `/v1`.
    func addSandboxes(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/sandboxes", one = all + "/{id}"
        func on(_ method: HTTPMethod, _ pattern: String, _ handler: @escaping @Sendable (Call) async throws -> Reply) {
            http.on(method, pattern) { try await handler(Call(request: $0)) }
        }
        on(.POST, all) { [self] in try await create($0.request) }
        on(.GET, all) { [self] in try list($0.request) }
        // Also one that is being deleted, so that a failed deletion can be seen.
        on(.GET, one) { [self] call in
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
            on(method, one + "/networkpolicy") { [self] in try await networkPolicy($0.id, $0.request) }
        }
        on(.POST, one + "/snapshots") { [self] in
            _ = try service.sandbox($0.id)
            throw APIError.notSupported("snapshots are not in this version", code: "SNAPSHOT::NOT_IMPLEMENTED")
        }
        on(.GET, one + "/endpoints/{port}") { [self] in
            try await endpoint($0.id, $0["port"], $0.request, isVersioned: !prefix.isEmpty)
        }
        on(.POST, one + "/endpoints/{port}/revoke") { [self] in
            _ = try port($0["port"])
            try await service.revokeAccess($0.id)
            return .empty(.noContent)
        }
        on(.GET, one + "/diagnostics/{kind}") { [self] in try await diagnostics($0.id, $0["kind"], $0.request) }
    }

    /// A request about one sandbox.
    private struct Call: Sendable {
        let request: HTTPRequest
        var id: String { self["id"] }
        /// A parameter of the route.
        subscript(_ name: String) -> String { request.parameters[name] ?? "" }
    }

    private func list(_ request: HTTPRequest) throws(APIError) -> Reply {
        try check(request, parameters: ListQuery.parameters)
        return .json(.ok, SandboxPage(service.catalog.all, try ListQuery(request.query)))
    }

    private func create(_ request: HTTPRequest) async throws(APIError) -> Reply {
        let create = try CreateRequest(try await json(request), limits: limits)
        let sandbox = try await service.create(create)
        return .json(.accepted, SandboxView(sandbox, showsImage: false))
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
