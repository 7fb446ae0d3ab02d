import NIOHTTP1
import SecureAccess

/// What the lifecycle API's proxy does with a request (contract, section 4).
struct ServerProxyPolicy: ProxyPolicy {
    let directory: any EndpointDirectory
    let limits: ProxyLimits
    let closesRefusedWebSockets = true
    private let access: AccessCheck
    private let answersTo: @Sendable (String) -> Bool

    init(
        directory: any EndpointDirectory, limits: ProxyLimits, access: AccessCheck,
        answersTo: @escaping @Sendable (String) -> Bool
    ) {
        self.directory = directory
        self.limits = limits
        self.access = access
        self.answersTo = answersTo
    }

    var rules: HeaderRules { .serverProxy }

    func admit(_ head: inout HTTPRequestHead, from client: String?) -> Admission {
        guard let path = ProxyPath(head.uri) else { return .pass }
        do throws(ProxyError) {
            try limits.head.check(&head)
            return try admit(head, path, client)
        } catch { return .refuse(error) }
    }

    private static let unknown = ProxyError(.notFound, "DOCKER::SANDBOX_NOT_FOUND", "no such sandbox")

    private func admit(
        _ head: HTTPRequestHead, _ path: ProxyPath, _ client: String?
    ) throws(ProxyError) -> Admission {
        if let host = head.headers.first(name: "host"), !answersTo(host) { throw .unknownHost(host) }
        guard !path.hasDots else {
            throw ProxyError(.badRequest, "INVALID_PATH", "the path has two dots in succession")
        }
        guard let port = path.port else {
            throw ProxyError(.badRequest, "DOCKER::INVALID_PORT", "a port is a number from 1 to 65535")
        }
        try checkUpgrade(head)
        guard Route.isSandboxID(path.sandbox) else { throw Self.unknown }
        switch directory.lookup(sandbox: path.sandbox, port: port) {
        case .found(let backend):
            try check(head, path, backend.credentialHash, client)
            directory.accessed(sandbox: path.sandbox, renew: !head.skipsRenewal)
            return .proxy(ProxyTarget(backend: backend, target: path.target, mount: path.mount))
        case .notReady(let reason, let hash, _):
            try check(head, path, hash, client)
            throw .notReady(reason)
        case .unknown: throw Self.unknown
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
        headers.replaceOrAdd(name: "x-request-id", value: RequestID.of(request))
        if let mount = target?.mount, let location = headers.first(name: "location"), location.hasPrefix("/"),
            !location.hasPrefix("//")
        {
            headers.replaceOrAdd(name: "location", value: mount + location)
        }
        response.headers = headers
    }
}

/// What ties an answer to the logs: the caller's own id where it is printable, else a random one.
enum RequestID {
    static func of(_ request: HTTPRequestHead) -> String {
        if let sent = request.headers.first(name: "x-request-id"), (1...128).contains(sent.utf8.count),
            sent.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        {
            return sent
        }
        let digits = String(UInt128.random(in: 0 ... .max), radix: 16)
        return String(repeating: "0", count: 32 - digits.count) + digits
    }
}
