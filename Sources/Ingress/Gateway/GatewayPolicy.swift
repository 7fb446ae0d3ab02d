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

    func admit(_ head: inout HTTPRequestHead) -> Admission {
        do throws(ProxyError) { try limits.head.check(&head) } catch { return .refuse(error) }
        guard let route = configuration.mode.route(of: head) else {
            if head.uri == "/status.ok", head.method == .GET || head.method == .HEAD { return .answer("ok\n") }
            return .refuse(.invalidRoute)
        }
        switch directory.lookup(sandbox: route.sandbox, port: route.port) {
        case .found(let backend):
            // Without secure access, segments that look like a signature are the application's own path.
            let isPlain = backend.credentialHash == nil && route.unsignedTarget != nil
            let entrance = Entrance(credentialHash: backend.credentialHash, epoch: backend.epoch)
            let token = isPlain ? nil : route.token
            guard access.verdict(head.headers, token: token, for: entrance) == .permitted else {
                return .refuse(.unauthorized)
            }
            directory.accessed(sandbox: route.sandbox, renew: !head.skipsRenewal)
            let target = isPlain ? route.unsignedTarget! : route.target
            return .proxy(ProxyTarget(backend: backend, target: target))
        case .notReady(let reason, let hash, let epoch):
            let entrance = Entrance(credentialHash: hash, epoch: epoch)
            guard access.verdict(head.headers, token: route.token, for: entrance) == .permitted else {
                return .refuse(.unauthorized)
            }
            return .refuse(.notReady(reason))
        case .unknown:
            let verdict = access.verdict(head.headers, token: route.token, for: .nobody)
            return .refuse(
                configuration.concealsUnknown && verdict != .permitted ? .unauthorized : .unknownSandbox)
        }
    }

    func finish(_ response: inout HTTPResponseHead, to request: HTTPRequestHead, target: ProxyTarget?) {}
}

extension HTTPRequestHead {
    /// `OpenSandbox-Access-Renew: skip` asks that a sandbox's life not be prolonged by this request.
    var skipsRenewal: Bool {
        headers.first(name: "opensandbox-access-renew")?.isEqualIgnoringCase(to: "skip") ?? false
    }
}
