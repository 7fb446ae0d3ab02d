import HTTPServer
import Logging
import NIOHTTP1
import NetworkPolicy
import System
import Tracing

/// The policy API of every sandbox of the node (docs/wire.md#policy), at `/sandboxes/{id}/policy` and
/// `/sandboxes/{id}/healthz` of one unix socket. The gateway relays port 18080 of a sandbox there.
///
/// Every request needs the sandbox's own token, since sandboxes can reach the socket through the gateway. Paths are
/// read byte for byte, so that a request that the gateway relays below `/sandboxes/<id>` (`..`, encoded slashes, empty
/// segments and all) can name only that sandbox's own resources, or nothing.
package struct PolicyAPI: Sendable {
    /// Which sandbox a request is about.
    package typealias Naming = @Sendable (HTTPRequest) throws(RoutingError) -> String

    let controller: any EgressController
    /// For `explain`, `suggestion` and `events`; nil if the guard is another process.
    let inspector: (any EgressInspector)?
    let maxRules: Int
    let maxBodyBytes: Int
    /// Those of now.
    let presets: @Sendable () -> Presets
    /// The JSON form of policies. Sockets between our own processes use the stored form, which keeps presets' rules.
    var form = PolicyForm.contract
    /// Begins a span for each request; nil: nothing is traced.
    let tracer: Tracer?
    let logger: Logger

    package init(
        controller: any EgressController, maxRules: Int, maxBodyBytes: Int,
        presets: @autoclosure @escaping @Sendable () -> Presets = .none,
        tracer: Tracer? = nil, logger: Logger
    ) {
        self.controller = controller
        inspector = controller as? any EgressInspector
        self.maxRules = maxRules
        self.maxBodyBytes = maxBodyBytes
        self.presets = presets
        self.tracer = tracer
        self.logger = logger
    }

    static let sandbox = "/sandboxes/{id}"

    var http: HTTPAPI {
        var http = api { request, access in
            guard access == .guarded, request.parameters["id"] != nil else { return }
            try await authorize(request, for: try Self.sandbox(of: request))
        }
        addPolicy(to: &http, below: Self.sandbox, Self.sandbox(of:))
        return http
    }

    /// An API in this one's words and with its limits, without routes.
    package func api(
        admit: @escaping @Sendable (HTTPRequest, HTTPAPI.Access) async throws -> Void = { _, _ in }
    ) -> HTTPAPI {
        var http = HTTPAPI(
            .exact, logger: logger,
            admit: {
                try await admit($0, $1)
                return nil
            },
            render: { error, request in
                if error is EgressError {
                    logger.warning("policy request failed", metadata: ["path": "\(request.path)", "error": "\(error)"])
                }
                return .failure(error)
            })
        http.maxBody = maxBodyBytes
        http.tracer = tracer
        return http
    }

    static func sandbox(of request: HTTPRequest) throws(RoutingError) -> String {
        guard let id = request.parameters["id"], SandboxIdentifier.isValid(id) else { throw .unknownRoute }
        return id
    }

    /// - Parameter below: what stands in front of `/policy`.
    package func addPolicy(to http: inout HTTPAPI, below prefix: String, _ sandbox: @escaping Naming) {
        for method in [HTTPMethod.GET, .POST, .PUT, .PATCH, .DELETE] {
            http.on(method, prefix + "/policy") { try await policy(of: try sandbox($0), $0) }
        }
        http.on(.GET, prefix + "/healthz", access: .open) { request in
            guard await controller.guards(try sandbox(request)) else { throw RoutingError.unknownRoute }
            return .line(.ok, "ok")
        }
        guard let inspector else { return }
        http.on(.GET, prefix + "/policy/explain") { request in
            let question = try PolicyQuestion(query: request.query)
            return .encodedJSON(.ok, try await inspector.explain(try sandbox(request), question).encodedJSON())
        }
        http.on(.GET, prefix + "/policy/suggestion") {
            .encodedJSON(.ok, try await inspector.suggestion(try sandbox($0)).encodedJSON())
        }
        http.on(.GET, prefix + "/policy/effective") {
            .encodedJSON(.ok, try await inspector.effectivePolicy(try sandbox($0)).encodedJSON())
        }
        http.on(.GET, prefix + "/events") { request in
            let id = try sandbox(request), log = try await inspector.events(id)
            let isEnforced = try await controller.status(id).policy.mode == .enforce
            guard request.query.isEmpty else {
                return .encodedJSON(.ok, log.page(try EventQuery(query: request.query), isEnforced: isEnforced))
            }
            return EventStream(log: log, isEnforced: isEnforced).reply(to: request)
        }
    }

    private func policy(of id: String, _ request: HTTPRequest) async throws -> Reply {
        let change = try PolicyRequest(
            method: request.method.rawValue, body: try await request.wholeBody(), maxRules: maxRules,
            presets: presets(),
            form: form)
        return .status(try await change.perform(on: id, with: controller), form)
    }

    /// Requires exactly one header, compared in constant time. An unknown sandbox gets the same answer as a wrong
    /// token.
    package func authorize(_ request: HTTPRequest, for id: String) async throws(RefusalError) {
        let presented = request.headers[PolicyToken.header]
        let expected = (try? await controller.token(of: id)) ?? ""
        guard presented.count == 1, ConstantTime.areEqual(presented[0], expected) else {
            throw .unauthorized
        }
    }
}
