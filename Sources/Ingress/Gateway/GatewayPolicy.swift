import HTTPWire
import NIOHTTP1
import SecureAccess

/// How the gateway handles a request: check, route, authorise. One for each event loop.
struct GatewayPolicy: ProxyPolicy {
    let configuration: GatewayConfiguration
    let directory: any EndpointDirectory
    let access: AccessCheck
    let traffic: TrafficBudget
    let closesRefusedWebSockets = false
    let tracedRoute = "gateway"
    let routeKind = RouteKind.none
    let namesAnswers = false

    var limits: ProxyLimits { configuration.limits }
    var rules: HeaderRules { .gateway }
    var maxBody: Int? { traffic.maxBody }

    func admit(_ head: inout HTTPRequestHead, from peer: String?, _ record: inout RequestRecord) -> Admission {
        let client = configuration.trustedProxies.client(of: head.headers, peer: peer)
        do throws(ProxyError) {
            try limits.checkHead(&head)
            if let wait = traffic.request(of: client) { throw .rateLimited(retryAfter: wait) }
            try limits.checkBody(head, most: maxBody)
            guard let (route, kind) = configuration.mode.entry(of: head) else {
                if head.uri == "/status.ok", head.method == .GET || head.method == .HEAD {
                    guard directory.isReady else { throw .noDirectory }
                    return .answer("ok\n")
                }
                if head.uri == "/ready", head.method == .GET || head.method == .HEAD {
                    guard directory.isReady else { throw .noDirectory }
                    guard directory.isCurrent else { throw .silentDirectory }
                    return .answer("{\"status\":\"ready\"}\n")
                }
                if head.uri == "/health", head.method == .GET || head.method == .HEAD { return .answer(health) }
                throw configuration.mode.presentsBrokenToken(head) ? .unauthorized : .invalidRoute
            }
            record.kind = kind
            return .proxy(try enter(head, route, Visitor(client: client, peer: peer), &record))
        } catch { return .refuse(error) }
    }

    /// In the form of the lifecycle API. Names of processes need no escaping.
    private var health: String {
        let down = configuration.down()
        guard !down.isEmpty else { return "{\"status\":\"healthy\"}\n" }
        return "{\"status\":\"degraded\",\"down\":[" + down.map { "\"\($0)\"" }.joined(separator: ",") + "]}\n"
    }

    private func enter(
        _ head: HTTPRequestHead, _ route: Route, _ visitor: Visitor, _ record: inout RequestRecord
    ) throws(ProxyError) -> ProxyTarget {
        switch directory.lookup(sandbox: route.sandbox, port: route.port) {
        case .found(let backend):
            record.found(route.sandbox, route.port)
            // Without secure access, segments that look like a signature belong to the application's path.
            let isPlain = backend.credentialHash == nil && route.unsignedTarget != nil
            let token = isPlain ? nil : route.token, target = isPlain ? route.unsignedTarget! : route.target
            let entrance = AccessRequirement(credentialHash: backend.credentialHash, epoch: backend.epoch)
            let identity = try permit(head, route, token, target, entrance, visitor)
            let wait = traffic.request(for: route.sandbox, route.port, incarnation: backend.incarnation)
            if let wait { throw .rateLimited(retryAfter: wait) }
            if let scope = token?.scope, let nonce = scope.nonce { try redeem(nonce, token!) }
            record.isAdmitted = identity.means != .open
            directory.accessed(sandbox: route.sandbox, renew: !head.skipsRenewal)
            return proxied(head, to: backend, target, identity, visitor, fromPath: route.unsignedTarget != nil)
        case .notReady(let reason, let hash, let epoch):
            record.found(route.sandbox, route.port)
            let identity = try permit(
                head, route, route.token, route.target, AccessRequirement(credentialHash: hash, epoch: epoch), visitor)
            record.isAdmitted = identity.means != .open
            throw .notReady(reason)
        case .unavailable: throw .noDirectory
        case .unknown:
            let verdict = access.verdict(
                head.headers, token: route.token, sandbox: route.sandbox, for: .nobody, client: visitor.client)
            throw configuration.concealsUnknown ? verdict.refusal ?? .unknownSandbox : .unknownSandbox
        }
    }

    /// Determines what gives the request access.
    private func permit(
        _ head: HTTPRequestHead, _ route: Route, _ token: RouteToken?, _ target: String, _ entrance: AccessRequirement,
        _ visitor: Visitor
    ) throws(ProxyError) -> VerifiedIdentity {
        let showsCredential = head.headers.contains(name: EndpointCredential.header)
        if configuration.cookies, entrance.credentialHash != nil, token == nil, !showsCredential,
            case .uri = configuration.mode, let cookie = cookie(head, route, target, entrance.epoch)
        {
            return VerifiedIdentity(means: .cookie, token: cookie, client: visitor.client)
        }
        let verdict = access.verdict(
            head.headers, token: token, sandbox: route.sandbox, for: entrance, client: visitor.client)
        if let refusal = verdict.refusal { throw refusal }
        guard let token else {
            return VerifiedIdentity(
                means: entrance.credentialHash == nil ? .open : .credential, client: visitor.client)
        }
        // Using a genuine token for something else is not guessing, so it is not counted.
        guard token.scope?.permits(head, target: target) ?? true else { throw .unauthorized }
        return VerifiedIdentity(means: .token, token: token, client: visitor.client)
    }

    private func cookie(
        _ head: HTTPRequestHead, _ route: Route, _ target: String, _ epoch: AccessEpoch
    ) -> RouteToken? {
        for value in AccessCookie.values(in: head.headers) {
            guard let token = try? RouteToken(cookie: value, sandbox: route.sandbox, port: route.port),
                access.isGenuine(token, epoch: epoch), token.scope?.permits(head, target: target) ?? true
            else { continue }
            return AccessCookie.isWanted(head) ? token : nil
        }
        return nil
    }

    private func redeem(_ nonce: [UInt8], _ token: RouteToken) throws(ProxyError) {
        guard let spent = configuration.spentTokens else { throw .unauthorized }
        switch spent.redeem(nonce, expires: token.expires, now: access.now) {
        case .first: break
        case .again: throw .unauthorized
        case .full: throw .oneTimeUnavailable
        }
    }

    private func proxied(
        _ head: HTTPRequestHead, to backend: Backend, _ target: String, _ identity: VerifiedIdentity,
        _ visitor: Visitor, fromPath: Bool
    ) -> ProxyTarget {
        var backend = backend
        if configuration.tellsIdentity {
            backend.headers.append(Backend.Header(VerifiedIdentity.header, identity.field))
        }
        var result = ProxyTarget(backend: backend, target: target)
        result.client = visitor.client
        if configuration.trustedProxies.sawTLS(head.headers, peer: visitor.peer) { result.scheme = "https" }
        // Only for a page that is opened; a program that uses a signed path needs no cookie.
        if configuration.cookies, fromPath, identity.means == .token, head.method == .GET, let token = identity.token,
            token.version == .two, let keys = configuration.keys, ErrorPage.prefersHTML(head.headers)
        {
            result.setCookie = AccessCookie.field(
                token.cookie(epoch: backend.epoch, keys: keys.current), now: access.now)
        }
        return result
    }

    func finish(_ response: inout OutgoingResponse, to request: HTTPRequestHead, target: ProxyTarget?) {
        guard let target, let field = target.setCookie else { return }
        response.add("set-cookie", target.scheme == "https" ? field + "; Secure" : field)
    }
}

/// The origin of a request.
private struct Visitor {
    /// The client's address, as far as known.
    var client: String?
    /// The peer's address.
    var peer: String?
}

extension RouteScope {
    /// Whether a request is within the scope.
    func permits(_ head: HTTPRequestHead, target: String) -> Bool {
        guard permits(target: target) else { return false }
        guard let methods else { return true }
        // Some frameworks let a field override the request's method.
        let overrides = ["x-http-method-override", "x-http-method", "x-method-override"]
        guard !overrides.contains(where: { head.headers.contains(name: $0) }) else { return false }
        let isUpgrade = head.headers.contains(name: "upgrade")
        return isUpgrade ? methods.contains(.webSocket) : methods.permits(head.method.rawValue)
    }
}

extension AccessCheck.Verdict {
    /// The answer if the request is refused; nil if it is not.
    var refusal: ProxyError? {
        switch self {
        case .permitted: nil
        case .refused: .unauthorized
        case .throttled(let seconds): .tooManyFailures(retryAfter: seconds)
        }
    }
}

extension HTTPRequestHead {
    /// `OpenSandbox-Access-Renew: skip` asks not to renew the sandbox by this request.
    var skipsRenewal: Bool {
        headers.first(name: "opensandbox-access-renew")?.isEqualIgnoringCase(to: "skip") ?? false
    }
}
