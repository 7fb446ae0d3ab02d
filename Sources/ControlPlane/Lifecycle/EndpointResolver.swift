import Ingress
import SecureAccess

/// How clients are told to reach a port: `GET /sandboxes/{id}/endpoints/{port}` (docs/wire.md#endpoints).
struct Endpoint: Encodable, Hashable, Sendable {
    /// `host[:port][/path]`, without a scheme.
    var endpoint: String
    /// To be sent with every request.
    var headers: [String: String]?
}

/// Forms endpoints as the gateway routes them.
struct EndpointResolver: Sendable {
    /// What clients connect to: `host[:port]`, or the domain of a wildcard gateway.
    var address: String
    var routing: Settings.Routing
    var keys: LiveKeys
    /// Which tokens are made. Clients need not parse them.
    var signs = RouteToken.Version.two

    /// What a port's own server asks for, which the gateway passes from the caller and never adds: who knows a sandbox's id
    /// can reach its applications' ports, but neither execd nor its policy.
    enum PortToken: Hashable, Sendable {
        /// Of execd's port.
        case execd(String)
        /// Of the policy API's.
        case policy(String)

        var field: (name: String, value: String) {
            switch self {
            case .execd(let token): ("X-EXECD-ACCESS-TOKEN", token)
            case .policy(let token): ("OPENSANDBOX-EGRESS-AUTH", token)
            }
        }
    }

    /// - Parameters:
    ///   - credential: the sandbox's static credential; nil where none is asked for.
    ///   - token: nil for a port of an application.
    func endpoint(of id: String, port: Int, credential: String?, token: PortToken?) -> Endpoint {
        var headers = Self.headers(credential, token)
        switch routing {
        case .header:
            headers[RouteMode.headerName] = "\(id)-\(port)"
            return Endpoint(endpoint: address, headers: headers)
        case .uri:
            return Endpoint(endpoint: "\(address)/\(id)/\(port)", headers: headers.isEmpty ? nil : headers)
        case .wildcard:
            return Endpoint(endpoint: "\(id)-\(port).\(address)", headers: headers.isEmpty ? nil : headers)
        }
    }

    /// An endpoint that opens without the static credential until `expires`, in seconds since 1970.
    /// - Parameter scope: what it may be used for; nil for everything. Not where routes stand in host names.
    /// - Throws: `RouteTokenError.labelTooLong` where routes stand in host names.
    func signedEndpoint(
        of sandbox: Sandbox, port: Int, expires: UInt64, scope: RouteScope? = nil, token: PortToken?
    ) throws(RouteTokenError) -> Endpoint {
        let route = route(for: sandbox, port: port, expires: expires, scope: scope)
        var headers = Self.headers(nil, token)
        switch routing {
        case .header:
            headers[RouteMode.headerName] = route.text
            return Endpoint(endpoint: address, headers: headers)
        case .uri:
            return Endpoint(endpoint: address + route.pathPrefix, headers: headers.isEmpty ? nil : headers)
        case .wildcard:
            return Endpoint(endpoint: "\(try route.label()).\(address)", headers: headers.isEmpty ? nil : headers)
        }
    }

    private func route(for sandbox: Sandbox, port: Int, expires: UInt64, scope: RouteScope?) -> RouteToken {
        let epoch = sandbox.accessEpoch, ring = keys.current
        if let scope {
            return .mint(sandbox: sandbox.id, port: port, expires: expires, epoch: epoch, scope: scope, keys: ring)
        }
        // After a revocation none of version 1 is accepted: what nobody accepts is not handed out.
        if signs == .one && epoch.revocations == 0 {
            return .mint(sandbox: sandbox.id, port: port, expires: expires, keys: ring)
        }
        return .mint(
            sandbox: sandbox.id, port: port, expires: expires, epoch: epoch,
            form: routing == .wildcard ? .label : .long, keys: ring)
    }

    /// An endpoint through the lifecycle server itself.
    /// - Parameter base: the server as the client reaches it, with the prefix under which it asked.
    func proxiedEndpoint(
        of id: String, port: Int, base: String, credential: String?, token: PortToken?
    ) -> Endpoint {
        let headers = Self.headers(credential, token)
        return Endpoint(
            endpoint: "\(base)/sandboxes/\(id)/proxy/\(port)", headers: headers.isEmpty ? nil : headers)
    }

    private static func headers(_ credential: String?, _ token: PortToken?) -> [String: String] {
        var headers: [String: String] = [:]
        headers[EndpointCredential.header] = credential
        if let field = token?.field { headers[field.name] = field.value }
        return headers
    }
}
