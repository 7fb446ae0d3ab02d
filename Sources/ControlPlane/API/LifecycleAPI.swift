import FoundationEssentials
import HTTPServer
import JSON
import Logging
import NIOCore
import NIOHTTP1
import SecureAccess
import Spelling
import System

/// The lifecycle API: who is asked for what, and by whom (docs/wire.md#lifecycle).
final class LifecycleAPI: Sendable {
    static let keyHeader = "OPEN-SANDBOX-API-KEY"
    static let version = "1.1.1"
    /// Bytes of a request's body.
    static let largestBody = 4 << 20

    let service: SandboxService
    let images: any ImageSource
    let endpoints: EndpointResolver
    let routes: RouteTable
    let limits: RequestLimits
    /// The host that clients reach this server by; nil: what they say in Host.
    let publicHost: String?
    /// What `GET /metrics` answers.
    let metricsText: @Sendable () async -> String
    private let health: PartsHealth
    /// Returns when what this server says is true at the gateway, too.
    private let settled: @Sendable () async -> Void
    private let apiKey: String?
    private let callers: CallerRules
    private let logger: Logger

    init(
        service: SandboxService, images: any ImageSource, endpoints: EndpointResolver, routes: RouteTable,
        limits: RequestLimits, publicHost: String?, apiKey: String?, callers: CallerRules, logger: Logger,
        health: PartsHealth = .single, settled: @escaping @Sendable () async -> Void = {},
        metricsText: @escaping @Sendable () async -> String
    ) {
        self.health = health
        self.settled = settled
        self.service = service
        self.images = images
        self.endpoints = endpoints
        self.routes = routes
        self.limits = limits
        self.publicHost = publicHost
        self.apiKey = apiKey
        self.callers = callers
        self.logger = logger
        self.metricsText = metricsText
    }

    /// The handler for `HTTPServer`.
    var handler: HTTPHandler {
        { [self] request, writer in
            var reply = await reply(to: request)
            await settled()
            reply.headers.replaceOrAdd(name: RequestID.header, value: RequestID.of(request.headers))
            callers.share(&reply, with: request)
            try? await writer.respond(reply.status, headers: reply.headers, body: ByteBuffer(bytes: reply.body))
        }
    }

    func reply(to request: HTTPRequest) async -> Reply {
        do throws(APIError) {
            try callers.check(request)
            if let preflight = callers.preflight(request) { return preflight }
            try authorize(request)
            try callers.checkBody(request)
            return try await route(request)
        } catch {
            return .error(error)
        }
    }

    private func authorize(_ request: HTTPRequest) throws(APIError) {
        guard let apiKey, !["/health", "/version"].contains(request.path) else { return }
        let presented = request.headers[Self.keyHeader]
        guard let key = presented.first, !key.isEmpty else {
            throw APIError(.unauthorized, "MISSING_API_KEY", "send the API key in the header \(Self.keyHeader)")
        }
        guard presented.count == 1, ConstantTime.areEqual(key, apiKey) else {
            throw APIError(.unauthorized, "INVALID_API_KEY", "the API key in \(Self.keyHeader) is wrong")
        }
    }

    /// Everything stands at `/` and at `/v1` (docs/wire.md#lifecycle).
    private func route(_ request: HTTPRequest) async throws(APIError) -> Reply {
        var path = request.pathSegments[...]
        let isVersioned = path.first == "v1"
        if isVersioned { path = path.dropFirst() }
        switch path.first {
        case "health" where path.count == 1 && !isVersioned:
            try expect(.GET, request)
            return .json(.ok, HealthView(down: health.down.map(\.rawValue)))
        case "version" where path.count == 1 && !isVersioned:
            try expect(.GET, request)
            return .json(.ok, ["version": Self.version])
        case "metrics" where path.count == 1 && !isVersioned:
            try expect(.GET, request)
            return .text(.ok, await metricsText(), headers: ["content-type": "text/plain; version=0.0.4"])
        case "metrics" where Array(path) == ["metrics", "events"] && isVersioned:
            try expect(.POST, request)
            return try await metricsEvent(request)
        case "sandboxes": return try await sandboxes(path.dropFirst(), request, isVersioned: isVersioned)
        case "snapshots":
            throw .notSupported("snapshots are not in this version", code: "SNAPSHOT::NOT_IMPLEMENTED")
        case "templates": throw .notSupported("templates are not supported", code: "FSB::API_NOT_SUPPORTED")
        case "pools":
            throw .notSupported("pools need a Kubernetes runtime", code: "KUBERNETES::POOL_NOT_SUPPORTED")
        default: throw .unknownRoute
        }
    }

    func expect(_ method: HTTPMethod, _ request: HTTPRequest) throws(APIError) {
        guard request.method == method else { throw .wrongMethod }
    }

    /// Passes over parameters that nobody knows, as the contract has it, but not over one that is a known one misspelt:
    /// `?expire=` must not give the permanent credential.
    func check(_ request: HTTPRequest, parameters known: [String]) throws(APIError) {
        for (name, _) in request.query {
            guard let meant = SimilarName.misspelt(name, of: known) else { continue }
            throw .invalid(
                ["query", String(name.prefix(64))], "Unknown parameter; did you mean \(meant)?", type: "extra_forbidden"
            )
        }
    }

    /// The body, as far as it is allowed to go.
    func body(_ request: HTTPRequest) async throws(APIError) -> [UInt8] {
        do {
            return Array(try await request.body.collect(upTo: Self.largestBody).readableBytesView)
        } catch {
            throw APIError(.payloadTooLarge, "INVALID_REQUEST", "\(error)")
        }
    }

    func json(_ request: HTTPRequest) async throws(APIError) -> JSONValue {
        let body = try await body(request)
        do throws(JSONError) { return try JSONValue(body) } catch { throw .notJSON(error) }
    }

    /// What clients report of their creates; nothing is done with it yet but to check it.
    private func metricsEvent(_ request: HTTPRequest) async throws(APIError) -> Reply {
        let problems = Problems()
        let fields = Fields(
            try await json(request), at: ["body"],
            known: ["eventType", "sandboxId", "image", "createDurationMs", "success"], problems: problems)
        for name in ["eventType", "createDurationMs", "success"] where !fields.mentions(name) { fields.missing(name) }
        if let type = fields.string("eventType"), type != "sandbox.create" {
            fields.problem("eventType", "Input should be 'sandbox.create'", type: "literal_error")
        }
        _ = (fields.value("createDurationMs"), fields.bool("success"))
        try problems.check()
        return .empty(.noContent)
    }
}

/// The identifier that ties an answer to its request in everybody's logs.
enum RequestID {
    static let header = "X-Request-ID"
    private static let longest = 128

    /// The client's own, where it is a printable word, else a new one.
    static func of(_ headers: HTTPHeaders) -> String {
        let given = headers.first(name: header).map { String($0.drop(while: \.isWhitespace)) } ?? ""
        let isUsable = (1...longest).contains(given.utf8.count) && given.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        return isUsable ? given : UUID().uuidString.lowercased().filter { $0 != "-" }
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
