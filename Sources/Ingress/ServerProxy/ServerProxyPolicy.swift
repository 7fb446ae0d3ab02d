import HTTPWire
import NIOHTTP1
import SecureAccess

/// What the lifecycle API's proxy does with a request: it asks for no key, since browsers and WebSockets send none, and looks at
/// the sandbox's own credential where it has one.
struct ServerProxyPolicy: ProxyPolicy {
    let directory: any EndpointDirectory
    let limits: ProxyLimits
    let closesRefusedWebSockets = true
    let tracedRoute = ServerProxy.route
    let routeKind = RouteKind.proxy
    let namesAnswers = true
    let maxBody: Int? = nil
    private let access: AccessCheck
    private let codes: ServerProxy.Codes
    private let answersTo: @Sendable (String) -> Bool

    init(
        directory: any EndpointDirectory, limits: ProxyLimits, access: AccessCheck, codes: ServerProxy.Codes,
        answersTo: @escaping @Sendable (String) -> Bool
    ) {
        self.directory = directory
        self.limits = limits
        self.access = access
        self.codes = codes
        self.answersTo = answersTo
    }

    var rules: HeaderRules { .serverProxy }

    func admit(_ head: inout HTTPRequestHead, from client: String?, _ record: inout RequestRecord) -> Admission {
        do throws(ProxyError) {
            guard let path = ProxyPath(head.uri) else { throw Self.noPath }
            try limits.checkHead(&head)
            return try admit(head, path, client, &record)
        } catch { return .refuse(error) }
    }

    /// A path that the router takes for one of the proxy's, but that is not one byte for byte.
    private static let noPath = ProxyError(.notFound, "NOT_FOUND", "Not Found")
    private var unknown: ProxyError { ProxyError(.notFound, codes.sandboxNotFound, "no such sandbox") }

    private func admit(
        _ head: HTTPRequestHead, _ path: ProxyPath, _ client: String?, _ record: inout RequestRecord
    ) throws(ProxyError) -> Admission {
        if let host = head.headers.first(name: "host"), !answersTo(host) { throw .unknownHost(host) }
        guard !path.hasDots else {
            throw ProxyError(.badRequest, "INVALID_PATH", "the path has two dots in succession")
        }
        guard let port = path.port else {
            throw ProxyError(.badRequest, codes.invalidPort, "a port must be a number from 1 to 65535")
        }
        try checkUpgrade(head)
        guard Route.isSandboxID(path.sandbox) else { throw unknown }
        switch directory.lookup(sandbox: path.sandbox, port: port) {
        case .found(let backend):
            record.found(path.sandbox, port)
            try check(head, path, backend.credentialHash, client)
            record.isAdmitted = backend.credentialHash != nil
            directory.accessed(sandbox: path.sandbox, renew: !head.skipsRenewal)
            return .proxy(ProxyTarget(backend: backend, target: path.target, mount: path.mount))
        case .notReady(let reason, let hash, _):
            record.found(path.sandbox, port)
            try check(head, path, hash, client)
            record.isAdmitted = hash != nil
            throw .notReady(reason)
        case .unknown: throw unknown
        case .unavailable: throw .noDirectory
        }
    }

    private func check(
        _ head: HTTPRequestHead, _ path: ProxyPath, _ credentialHash: [UInt8]?, _ client: String?
    ) throws(ProxyError) {
        let verdict = access.verdict(
            head.headers, token: nil, sandbox: path.sandbox,
            for: AccessRequirement(credentialHash: credentialHash, epoch: .first), client: client)
        if let refusal = verdict.refusal { throw refusal }
    }

    /// A request that names a WebSocket without being a handshake.
    private func checkUpgrade(_ head: HTTPRequestHead) throws(ProxyError) {
        let names = head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
        guard names else { return }
        guard case .to = try Upgrade(head), head.method == .GET else {
            throw ProxyError(
                .badRequest, "WEBSOCKET_UPGRADE", "a WebSocket is opened by a GET with Connection: Upgrade")
        }
    }

    func finish(_ response: inout OutgoingResponse, to request: HTTPRequestHead, target: ProxyTarget?) {
        var headers = response.headers
        headers.replaceOrAdd(name: RequestID.header, value: RequestID.of(request.headers))
        if let mount = target?.mount, let location = headers.first(name: "location"), location.hasPrefix("/"),
            !location.hasPrefix("//")
        {
            headers.replaceOrAdd(name: "location", value: mount + location)
        }
        response.headers = headers
    }
}
