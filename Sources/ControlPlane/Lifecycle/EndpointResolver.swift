import Ingress
import SecureAccess

/// What clients are told about reaching a port: `GET /sandboxes/{id}/endpoints/{port}` (docs/wire.md#endpoints).
struct Endpoint: Encodable, Hashable, Sendable {
    /// `host[:port][/path]`, without a scheme.
    var endpoint: String
    /// To be sent with every request.
    var headers: [String: String]?
}

/// Makes endpoints that match the gateway's routing.
struct EndpointResolver: Sendable {
    /// The address of the gateway for clients: `host[:port]`, or the domain with wildcard routes.
    var address: String
    var routing: Settings.Routing
    var keys: LiveKeys
    /// The version of tokens. Clients treat them as opaque.
    var signs = RouteToken.Version.two
    /// nil where no ports are published.
    var published: Settings.Ports?

    /// The token of a port's own server. Gateways pass it on from the caller and never add it, so knowing a sandbox's
    /// id gives access to its application ports, but not to execd or its policy.
    enum PortToken: Hashable, Sendable {
        /// For execd's port.
        case execd(String)
        /// For the policy API's port.
        case policy(String)

        var field: (name: String, value: String) {
            switch self {
            case .execd(let token): ("X-EXECD-ACCESS-TOKEN", token)
            case .policy(let token): ("OPENSANDBOX-EGRESS-AUTH", token)
            }
        }
    }

    /// - Parameters:
    ///   - credential: the sandbox's static credential; nil if none is needed.
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

    /// A port of this machine that forwards to the sandbox's; nil if it has none. Where execd's is published of every sandbox,
    /// the others are behind it, as with the reference.
    /// - Parameter execd: its token.
    func publishedEndpoint(
        of sandbox: Sandbox, port: Int, token: PortToken?, execd: @autoclosure () -> String
    ) -> Endpoint? {
        guard let published, let ports = sandbox.network?.hostPorts else { return nil }
        if let found = ports.first(where: { $0.port == port }) {
            let headers = Self.headers(nil, token)
            return Endpoint(endpoint: "\(published.host):\(found.at)", headers: headers.isEmpty ? nil : headers)
        }
        guard published.always.contains(UInt16(RouteTable.execdPort)), port != RouteTable.policyPort,
            let found = ports.first(where: { $0.port == RouteTable.execdPort })
        else { return nil }
        return Endpoint(
            endpoint: "\(published.host):\(found.at)/proxy/\(port)", headers: Self.headers(nil, .execd(execd())))
    }

    /// An endpoint that opens without the static credential until `expires`, in seconds since 1970.
    /// - Parameter scope: restrictions; nil for none. Not possible with routes in host names.
    /// - Throws: `RouteTokenError.labelTooLong`, with routes in host names.
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
        // After a revocation version 1 is no longer accepted, so none is handed out.
        if signs == .one && epoch.revocations == 0 {
            return .mint(sandbox: sandbox.id, port: port, expires: expires, keys: ring)
        }
        return .mint(
            sandbox: sandbox.id, port: port, expires: expires, epoch: epoch,
            form: routing == .wildcard ? .label : .long, keys: ring)
    }

    /// An endpoint through the lifecycle server itself.
    /// - Parameter base: the server's address for the client, with the prefix of the request.
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
