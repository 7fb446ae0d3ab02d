import Egress
import HTTPServer
import NIOHTTP1
import Runtimes
import SecureAccess

extension LifecycleAPI {
    /// `GET /sandboxes/{id}/endpoints/{port}` (docs/wire.md#endpoints).
    func endpoint(
        _ id: String, _ portText: String, _ request: HTTPRequest, isVersioned: Bool
    ) async throws(APIError) -> Reply {
        let port = try self.port(portText)
        try check(request, parameters: ["use_server_proxy", "expires", "once", "methods", "path", "label"])
        let isProxied = try Self.flag(request.query("use_server_proxy"), "use_server_proxy")
        let expires = try Self.expiry(request.query("expires"))
        if isProxied, expires != nil {
            throw .parameter("expires cannot be combined with use_server_proxy")
        }
        let scope = try scope(request, expires: expires)
        let sandbox = try service.sandbox(id)
        if sandbox.status.state == .pending {
            throw APIError(.notFound, "KUBERNETES::POD_IP_NOT_AVAILABLE", "Sandbox \(id) has no address yet")
        }
        let token = try await portToken(of: id, port)
        let credential = routes.credential(of: sandbox)
        if let expires {
            do throws(RouteTokenError) {
                return .json(
                    .ok,
                    try endpoints.signedEndpoint(
                        of: sandbox, port: port, expires: expires, scope: scope, token: token))
            } catch {
                throw .parameter("\(error)")
            }
        }
        guard isProxied else {
            if let published = endpoints.publishedEndpoint(
                of: sandbox, port: port, token: token, execd: routes.execdToken(of: id))
            {
                return .json(.ok, published)
            }
            return .json(.ok, endpoints.endpoint(of: id, port: port, credential: credential, token: token))
        }
        guard let host = publicHost ?? request.headers.first(name: "host") else {
            throw .parameter("the Host header is missing")
        }
        return .json(
            .ok,
            endpoints.proxiedEndpoint(
                of: id, port: port, base: host + (isVersioned ? "/v1" : ""), credential: credential, token: token)
        )
    }

    private func portToken(of id: String, _ port: Int) async throws(APIError) -> EndpointResolver.PortToken? {
        switch port {
        case RouteTable.execdPort: return .execd(routes.execdToken(of: id))
        case RouteTable.policyPort:
            do throws(EgressError) { return .policy(try await service.egress.token(of: id)) } catch {
                // Without its header the endpoint would look whole, and open nothing.
                if case .unreachable = error { throw .guardAway(id) }
                return nil
            }
        default: return nil
        }
    }

    /// The restrictions of a signed route: `once`, `methods`, `path`, `label`. Our extension; official clients send
    /// none of them.
    private func scope(_ request: HTTPRequest, expires: UInt64?) throws(APIError) -> RouteScope? {
        let isOnce = try Self.flag(request.query("once"), "once")
        let (list, path, label) = (request.query("methods"), request.query("path"), request.query("label"))
        guard isOnce || list != nil || path != nil || label != nil else { return nil }
        guard let expires else { throw .parameter("once, methods, path and label are for signed routes: give expires") }
        guard endpoints.routing != .wildcard else {
            throw .parameter("once, methods, path and label do not fit into a host name: use header or uri routes")
        }
        guard !isOnce || Int64(expires) <= Timestamp.now().seconds + Self.maxOneTime else {
            throw .parameter("expires: a one-time route may last \(Self.maxOneTime) s at most, as gateways remember it")
        }
        let methods = list.map { RouteScope.Methods($0) }
        if case .some(.none) = methods { throw .parameter("\(RouteScopeError.methods)") }
        do throws(RouteScopeError) {
            return try RouteScope(once: isOnce, methods: methods ?? nil, path: path, label: label)
        } catch { throw .parameter("\(error)") }
    }

    /// Seconds.
    private static let maxOneTime: Int64 = 86_400

    func port(_ text: String) throws(APIError) -> Int {
        guard let port = Int(text) else {
            throw .invalid(["path", "port"], "Input should be a valid integer", type: "int_parsing")
        }
        guard (1...65535).contains(port) else {
            throw APIError(.badRequest, service.codes.invalidPort, "port \(port) is not between 1 and 65535")
        }
        return port
    }

    private static func flag(_ text: String?, _ name: String) throws(APIError) -> Bool {
        switch text?.lowercased() {
        case nil, "false", "0", "no", "off", "f", "n": return false
        case "true", "1", "yes", "on", "t", "y": return true
        default: throw .invalid(["query", name], "Input should be a valid boolean", type: "bool_parsing")
        }
    }

    /// Seconds since 1970, in the future.
    private static func expiry(_ text: String?) throws(APIError) -> UInt64? {
        guard let text else { return nil }
        guard let number = Int64(text) else {
            throw .invalid(["query", "expires"], "Input should be a valid integer", type: "int_parsing")
        }
        guard number > Timestamp.now().seconds else { throw .parameter("expires \(number) is not in the future") }
        guard number <= Timestamp.last.seconds else {
            throw .parameter("expires \(number) is after \(Timestamp.last), \(Timestamp.last.seconds)")
        }
        return UInt64(number)
    }
}

extension APIError {
    /// What was asked of the guard of a sandbox may be asked again.
    static func guardAway(_ id: String) -> APIError {
        APIError(
            .serviceUnavailable, "SANDBOX::GUARD_UNAVAILABLE",
            "the guard of sandbox \(id) does not answer; try again in a moment")
    }
}
