import HTTPServer
import NIOHTTP1
import System

/// Who sends a request, and what that one may do.
struct Caller: Hashable, Sendable {
    /// For logs.
    var name: String
    /// The id of a named key; nil for the server's own, and where none is asked for.
    var key: String?
    var scope: KeyScope

    /// With the server's own key.
    static let master = Caller(name: "server.api_key", scope: .admin)
    /// Of a server that asks for no key.
    static let anybody = Caller(name: "anybody", scope: .admin)

    init(_ key: APIKey) { (name, self.key, scope) = (key.name, key.id, key.scope) }

    init(name: String, key: String? = nil, scope: KeyScope) { (self.name, self.key, self.scope) = (name, key, scope) }

    /// Whether all sandboxes are there for it. One that may only look makes none, and looks at all.
    var seesAll: Bool { scope != .operate }

    /// Whether it may know of a sandbox, which may also not be there.
    func owns(_ sandbox: Sandbox?) -> Bool { owns(sandbox?.owner) }
    func owns(_ snapshot: Snapshot?) -> Bool { owns(snapshot?.owner) }

    /// - Throws: 403.
    func require(_ least: KeyScope) throws(APIError) {
        guard scope < least else { return }
        throw APIError(
            .forbidden, "INSUFFICIENT_SCOPE",
            "the key \(name) has the scope \(scope.rawValue); this needs \(least.rawValue)")
    }

    private func owns(_ owner: String?) -> Bool { seesAll || (key != nil && owner == key) }
}

/// A request whose sender is known, and may ask it.
struct Call: Sendable {
    let request: HTTPRequest
    let caller: Caller
    var id: String { self["id"] }
    /// A parameter of the route.
    subscript(_ name: String) -> String { request.parameters[name] ?? "" }
}

extension LifecycleAPI {
    /// Adds a route that asks its callers for a scope. Every route but the open ones is added by this.
    func add(
        to http: inout HTTPAPI, _ method: HTTPMethod, _ pattern: String, _ scope: KeyScope,
        _ handler: @escaping @Sendable (Call) async throws -> Reply
    ) {
        http.on(method, pattern) { [self] request in
            let caller = try caller(of: request)
            try caller.require(scope)
            return try await handler(Call(request: request, caller: caller))
        }
    }

    /// Whose key it was when the request came, if it has been revoked since; for the audit log.
    func formerCaller(of request: HTTPRequest) -> Caller? {
        guard request.headers[Self.keyHeader].count == 1, let text = request.headers.first(name: Self.keyHeader) else {
            return nil
        }
        return keys.former.key(of: text).map { Caller(name: $0.name + " (revoked)", key: $0.id, scope: $0.scope) }
    }

    /// What stands in the place of a key. Prometheus can send a key in no other field than `Authorization`.
    private func presented(by request: HTTPRequest) -> [String] {
        let keys = request.headers[Self.keyHeader]
        guard keys.isEmpty, request.path == Self.metricsPath else { return keys }
        let scheme = "bearer "
        return request.headers["authorization"].map {
            $0.lowercased().hasPrefix(scheme) ? String($0.dropFirst(scheme.count)) : ""
        }
    }

    /// - Throws: 401.
    func caller(of request: HTTPRequest) throws(APIError) -> Caller {
        guard let apiKey else { return .anybody }
        let presented = presented(by: request)
        guard let text = presented.first, !text.isEmpty else {
            throw APIError(.unauthorized, "MISSING_API_KEY", "send the API key in the header \(Self.keyHeader)")
        }
        if presented.count == 1 {
            // First, so that a tenant stays one whatever key the server is given while it runs.
            if let tenant = tenants?.current.caller(of: text) { return tenant }
            if ConstantTime.areEqual(text, apiKey) { return .master }
            if let key = keys.current.key(of: text) { return Caller(key) }
            // Last: none of the above is shown to another server.
            if let tenant = try provider?.caller(of: text) { return tenant }
        }
        throw APIError(.unauthorized, "INVALID_API_KEY", "the API key in \(Self.keyHeader) is wrong")
    }

    /// What is to be waited for before a request's `caller` is asked for; nil if that is known.
    func question(about request: HTTPRequest) -> Task<Void, Never>? {
        guard let provider, let apiKey else { return nil }
        let presented = presented(by: request)
        guard presented.count == 1, let text = presented.first, !ConstantTime.areEqual(text, apiKey),
            keys.current.key(of: text) == nil, keys.former.key(of: text) == nil
        else { return nil }
        return provider.question(about: text)
    }

    /// Where there are tenants, a sandbox's ports are its tenant's by the server proxy, too (contract). Otherwise the proxy asks
    /// for no key: [secure access](docs/secure-access.md) closes ports.
    func admitRelay(_ request: HTTPRequest) throws(APIError) {
        let caller = try caller(of: request), id = request.parameters["id"] ?? ""
        guard caller.owns(service.catalog[id]) else { throw service.unknownSandbox(id) }
        try caller.require(.operate)
    }
}
