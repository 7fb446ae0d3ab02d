import NIOHTTP1
import SecureAccess

/// What the gateway does with a request: check, route, authorize.
struct GatewayPolicy: ProxyPolicy {
    let configuration: GatewayConfiguration
    let directory: any EndpointDirectory
    let access: AccessCheck
    let scheme = "http"
    let closesRefusedWebSockets = false

    var limits: ProxyLimits { configuration.limits }
    var rules: HeaderRules { .gateway }

    func admit(_ head: inout HTTPRequestHead, from client: String?) -> Admission {
        do throws(ProxyError) { try limits.head.check(&head) } catch { return .refuse(error) }
        guard let route = configuration.mode.route(of: head) else {
            if head.uri == "/status.ok", head.method == .GET || head.method == .HEAD { return .answer("ok\n") }
            return .refuse(configuration.mode.presentsBrokenToken(head) ? .unauthorized : .invalidRoute)
        }
        func refusal(_ token: RouteToken?, _ entrance: Entrance) -> ProxyError? {
            let verdict = access.verdict(
                head.headers, token: token, sandbox: route.sandbox, for: entrance, client: client)
            return verdict.refusal
        }
        switch directory.lookup(sandbox: route.sandbox, port: route.port) {
        case .found(let backend):
            // Without secure access, segments that look like a signature are the application's own path.
            let isPlain = backend.credentialHash == nil && route.unsignedTarget != nil
            let entrance = Entrance(credentialHash: backend.credentialHash, epoch: backend.epoch)
            if let refusal = refusal(isPlain ? nil : route.token, entrance) { return .refuse(refusal) }
            directory.accessed(sandbox: route.sandbox, renew: !head.skipsRenewal)
            let target = isPlain ? route.unsignedTarget! : route.target
            return .proxy(ProxyTarget(backend: backend, target: target))
        case .notReady(let reason, let hash, let epoch):
            let refusal = refusal(route.token, Entrance(credentialHash: hash, epoch: epoch))
            return .refuse(refusal ?? .notReady(reason))
        case .unknown:
            let refusal = refusal(route.token, .nobody)
            return .refuse(configuration.concealsUnknown ? refusal ?? .unknownSandbox : .unknownSandbox)
        }
    }

    func finish(_ response: inout HTTPResponseHead, to request: HTTPRequestHead, target: ProxyTarget?) {}
}

extension AccessCheck.Verdict {
    /// What is answered; nil where nothing stands in the way.
    var refusal: ProxyError? {
        switch self {
        case .permitted: nil
        case .refused: .unauthorized
        case .throttled(let seconds): .tooManyFailures(retryAfter: seconds)
        }
    }
}

extension HTTPRequestHead {
    /// `OpenSandbox-Access-Renew: skip` asks that a sandbox's life not be prolonged by this request.
    var skipsRenewal: Bool {
        headers.first(name: "opensandbox-access-renew")?.isEqualIgnoringCase(to: "skip") ?? false
    }
}
