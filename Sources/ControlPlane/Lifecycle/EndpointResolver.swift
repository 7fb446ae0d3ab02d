import Ingress
import SecureAccess

/// How clients are told to reach a port: `GET /sandboxes/{id}/endpoints/{port}` (CLIENTS.md, section 4).
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

    static let policyHeader = "OPENSANDBOX-EGRESS-AUTH"

    /// - Parameters:
    ///   - credential: the sandbox's static credential; nil where none is asked for.
    ///   - policyToken: opens the policy API; given for its port only.
    func endpoint(of id: String, port: Int, credential: String?, policyToken: String?) -> Endpoint {
        var headers: [String: String] = [:]
        headers[EndpointCredential.header] = credential
        headers[Self.policyHeader] = policyToken
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
        of sandbox: Sandbox, port: Int, expires: UInt64, scope: RouteScope? = nil, policyToken: String?
    ) throws(RouteTokenError) -> Endpoint {
        let token = token(for: sandbox, port: port, expires: expires, scope: scope)
        var headers: [String: String] = [:]
        headers[Self.policyHeader] = policyToken
        switch routing {
        case .header:
            headers[RouteMode.headerName] = token.text
            return Endpoint(endpoint: address, headers: headers)
        case .uri:
            return Endpoint(endpoint: address + token.pathPrefix, headers: headers.isEmpty ? nil : headers)
        case .wildcard:
            return Endpoint(endpoint: "\(try token.label()).\(address)", headers: headers.isEmpty ? nil : headers)
        }
    }

    private func token(for sandbox: Sandbox, port: Int, expires: UInt64, scope: RouteScope?) -> RouteToken {
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
        of id: String, port: Int, base: String, credential: String?, policyToken: String?
    ) -> Endpoint {
        var headers: [String: String] = [:]
        headers[EndpointCredential.header] = credential
        headers[Self.policyHeader] = policyToken
        return Endpoint(
            endpoint: "\(base)/sandboxes/\(id)/proxy/\(port)", headers: headers.isEmpty ? nil : headers)
    }
}
