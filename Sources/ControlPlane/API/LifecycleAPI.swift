import HTTPServer
import Ingress
import JSON
import Logging
import NIOCore
import NIOHTTP1
import SecureAccess
import Spelling
import Tracing

/// The lifecycle API: authorisation and routing (docs/wire.md#lifecycle).
final class LifecycleAPI: Sendable {
    static let keyHeader = "OPEN-SANDBOX-API-KEY"
    static let version = "1.1.1"
    static let metricsPath = "/metrics"
    /// The largest request body, in bytes.
    private static let maxBody = 4 << 20

    let service: SandboxService
    let endpoints: EndpointResolver
    let routes: RouteTable
    private let fixedLimits: RequestLimits
    private let rules: LiveRules
    /// The body of `GET /metrics`.
    let metricsText: @Sendable () async -> String
    /// What serves the ports of sandboxes on this listener; nil: nobody.
    private let proxy: (any HTTPRelay)?
    private let health: PartsHealth
    private let readiness: Readiness
    /// nil where a setting has turned them off.
    private let pages: APIPages?
    /// nil where nobody asked for one.
    private let audit: RequestAudit?
    private let accessLog: AccessLog
    /// Returns when what this server says is true at the gateway, too.
    private let settled: @Sendable () async -> Void
    /// The named ones.
    let keys: LiveAPIKeys
    /// Begins a span for each request; nil: nothing is traced.
    private let tracer: Tracer?
    /// nil where there are none.
    let tenants: LiveTenants?
    /// Who is asked for tenants; nil: nobody.
    let provider: TenantProvider?
    private let logger: Logger

    init(
        service: SandboxService, endpoints: EndpointResolver, routes: RouteTable,
        limits: RequestLimits, rules: LiveRules, keys: LiveAPIKeys = LiveAPIKeys(), tenants: LiveTenants? = nil,
        provider: TenantProvider? = nil, proxy: (any HTTPRelay)? = nil, logger: Logger, health: PartsHealth = .single,
        readiness: Readiness = Readiness([]),
        pages: APIPages? = APIPages(folder: nil), audit: RequestAudit? = nil, accessLog: AccessLog? = nil,
        tracer: Tracer? = nil, settled: @escaping @Sendable () async -> Void = {},
        metricsText: @escaping @Sendable () async -> String
    ) {
        self.health = health
        self.readiness = readiness
        self.pages = pages
        self.audit = audit
        self.accessLog = accessLog ?? AccessLog(.off, logger: logger)
        self.tracer = tracer
        self.settled = settled
        self.service = service
        self.endpoints = endpoints
        self.routes = routes
        fixedLimits = limits
        self.rules = rules
        self.proxy = proxy
        self.keys = keys
        self.tenants = tenants
        self.provider = provider
        self.logger = logger
        self.metricsText = metricsText
    }

    var limits: RequestLimits {
        var limits = fixedLimits
        let rules = rules.current
        limits.maxTimeout = rules.maxTimeout
        if let policies = rules.policies {
            (limits.presets, limits.defaultPolicy) = (policies.presets, policies.standard)
        }
        return limits
    }
    var publicHost: String? { rules.current.publicHost }
    /// The server's own key; nil if it asks for none.
    var apiKey: String? { rules.current.apiKey }
    private var callers: CallerRules { rules.current.callers }

    /// Its routes, which all stand at `/` and at `/v1` but for those about the server itself.
    var http: HTTPAPI {
        var http = HTTPAPI(
            .decoded, logger: logger, admit: { [self] in try admit($0, $1) }, render: Reply.errors(logger))
        http.maxBody = Self.maxBody
        http.sendsRequestIDs = true
        http.settled = settled
        http.tracer = tracer
        let requests = RequestMetrics(), refusals = RequestRefusals()
        let lines = RequestLines(log: accessLog) { [self] in (try? caller(of: $0)) != nil }
        http.measured = { answered in
            if answered.method != nil { requests.note(answered) }
            refusals.note(answered)
            lines.note(answered)
        }
        if tenants != nil || provider != nil { http.admitRelay = { [self] request in try admitRelay(request) } }
        if provider != nil {
            http.question = { [self] request in question(about: request) }
            // Neither foreign pages nor foreign names make this server ask another.
            http.isWorthAsking = { [self] request in (try? callers.check(request)) != nil }
        }
        http.finish = { [self] reply, request in
            callers.share(&reply, with: request)
            audit?.note(request, reply, of: (try? caller(of: request)) ?? formerCaller(of: request))
        }
        http.on(.GET, "/health", access: .open) { [health] _ in
            .json(.ok, HealthView(down: health.down.map(\.rawValue)))
        }
        http.on(.GET, "/ready", access: .open) { [self] request in
            // What is wrong names folders and programs of the machine, as metrics do.
            let isAdministrator = (try? caller(of: request))?.scope == .admin
            return ReadyAnswer(await readiness.findings, showsChecks: isAdministrator).reply
        }
        http.on(.GET, "/version", access: .open) { _ in .json(.ok, ["version": Self.version]) }
        add(to: &http, .GET, Self.metricsPath, .admin) { [metricsText] _ in .metrics(await metricsText()) }
        pages?.add(to: &http)
        add(to: &http, .POST, "/v1/metrics/events", .read) { [self] in try await metricsEvent($0.request) }
        for prefix in ["", "/v1"] {
            addSandboxes(to: &http, prefix)
            addPools(to: &http, prefix)
            addSnapshots(to: &http, prefix)
            addImages(to: &http, prefix)
            if let proxy { http.on(prefix + ServerProxy.route, relay: proxy) }
            addUnsupported(to: &http, prefix)
        }
        return http
    }

    private func admit(_ request: HTTPRequest, _ access: HTTPAPI.Access) throws(APIError) -> Reply? {
        let callers = callers
        try callers.check(request, isOpen: access == .open && request.method == .GET)
        if let preflight = callers.preflight(request) { return preflight }
        if access == .guarded { _ = try caller(of: request) }
        try callers.checkBody(request)
        return nil
    }

    /// Ignores unknown parameters, as the contract requires, unless one looks like a misspelt known one: `?expire=`
    /// must not return the permanent credential.
    func check(_ request: HTTPRequest, parameters known: [String]) throws(APIError) {
        for (name, _) in request.query {
            guard let meant = SimilarName.misspelt(name, of: known) else { continue }
            throw .invalid(
                ["query", String(name.prefix(64))], "Unknown parameter; did you mean \(meant)?", type: "extra_forbidden"
            )
        }
    }

    /// The body, up to the limit. It may take its sender long, and the key may have been revoked meanwhile.
    func body(_ request: HTTPRequest) async throws(APIError) -> [UInt8] {
        let bytes: [UInt8]
        do { bytes = try await request.wholeBody() } catch { throw .tooLarge(error) }
        await question(about: request)?.value
        _ = try caller(of: request)
        return bytes
    }

    func json(_ request: HTTPRequest) async throws(APIError) -> JSONValue {
        let body = try await body(request)
        do throws(JSONError) { return try JSONValue(body) } catch { throw .notJSON(error) }
    }
}

/// What `GET /health` answers: this server, and which of the processes beside it do not serve now.
private struct HealthView: Encodable, Sendable {
    var status: String
    var down: [String]?

    init(down: [String]) {
        status = down.isEmpty ? "healthy" : "degraded"
        self.down = down.isEmpty ? nil : down
    }
}
