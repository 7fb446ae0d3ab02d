import HTTPServer
import JSON
import Logging
import NIOHTTP1
import Netfilter
import NetworkPolicy

/// The API by which another process of the node (the lifecycle server) controls the guard, on its own unix socket. It
/// asks for no token: only the socket's owner can open it, and the gateway never relays to it.
///
/// - `GET /sandboxes`: the identifiers, a JSON array
/// - `PUT /sandboxes/{id}`, `DELETE /sandboxes/{id}`: protect and release
/// - `GET /sandboxes/{id}/token`: the token as text
/// - `GET /metrics`: Prometheus' text, where the program has metrics
/// - `GET /ready`: whether it could guard another sandbox, 200 or 503
/// - `/sandboxes/{id}/policy`, `…/policy/explain`, `…/policy/suggestion`, `…/policy/effective`, `/sandboxes/{id}/events`: as the policy API
struct AdminAPI: Sendable {
    let node: any NamespaceController
    let policyAPI: PolicyAPI
    var metrics: (@Sendable () -> String)?
    var readiness: Readiness?

    var http: HTTPAPI {
        var http = policyAPI.api()
        policyAPI.addPolicy(to: &http, below: PolicyAPI.sandbox, PolicyAPI.sandbox(of:))
        http.on(.GET, "/sandboxes") { _ in
            .encodedJSON(.ok, JSONValue.array(await node.guarded.map { .string($0) }).encoded)
        }
        on(.PUT, PolicyAPI.sandbox, &http) { try await protect($0, $1) }
        on(.DELETE, PolicyAPI.sandbox, &http) { id, _ in
            guard SandboxIdentifier.isValid(id) else { throw EgressError.invalidIdentifier(id) }
            await node.release(id)
            return .empty(.noContent)
        }
        on(.GET, PolicyAPI.sandbox + "/token", &http) { id, _ in .text(.ok, try await node.token(of: id)) }
        if let readiness {
            http.on(.GET, "/ready") { _ in ReadyAnswer(await readiness.findings, showsChecks: true).reply }
        }
        if let metrics { http.on(.GET, "/metrics") { _ in .metrics(metrics()) } }
        return http
    }

    /// A route of one sandbox. The caller is the operator's own program: it is told everything of what went wrong.
    private func on(
        _ method: HTTPMethod, _ pattern: String, _ http: inout HTTPAPI,
        _ handler: @escaping @Sendable (_ id: String, HTTPRequest) async throws -> Reply
    ) {
        http.on(method, pattern) { [logger = policyAPI.logger] request in
            do {
                return try await handler(request.parameters["id"] ?? "", request)
            } catch let error as EgressError {
                logger.warning("administrative request failed", metadata: ["error": "\(error)"])
                let reply = Reply.failure(error)
                return reply.status == .internalServerError ? .line(reply.status, error.description) : reply
            }
        }
    }

    private func protect(_ id: String, _ request: HTTPRequest) async throws -> Reply {
        guard SandboxIdentifier.isValid(id) else { throw EgressError.invalidIdentifier(id) }
        let protect = try AdminRequest.Protect(decoding: try await request.wholeBody())
        guard protect.policy.ruleCount <= policyAPI.maxRules else {
            throw EgressError.tooManyRules(count: protect.policy.ruleCount, limit: policyAPI.maxRules)
        }
        try await node.protect(
            id, namespace: NetworkNamespace(existing: protect.namespace), policy: protect.policy)
        return .status(try await node.status(id), policyAPI.form)
    }
}

/// The bodies of the administrative API.
package enum AdminRequest {
    /// `PUT /sandboxes/{id}`: `{"namespace": "/run/netns/…", "policy": {…}}`; without a policy everything is allowed,
    /// and the sandbox is guarded all the same.
    package struct Protect: Sendable, Equatable {
        var namespace: String
        var policy: Policy

        package init(namespace: String, policy: Policy) {
            self.namespace = namespace
            self.policy = policy
        }

        init(decoding body: [UInt8]) throws(EgressError) {
            guard let document = try? JSONValue(body), case .object(let fields) = document,
                case .string(let namespace)? = fields["namespace"], namespace.hasPrefix("/"),
                fields.members.allSatisfy({ ["namespace", "policy"].contains($0.name) })
            else { throw .invalidPolicy("the body must be {\"namespace\": \"/absolute/path\", \"policy\": {…}}") }
            self.namespace = namespace
            guard let form = fields["policy"] else {
                policy = .allowAll
                return
            }
            do { policy = try Policy.decode(form, form: .record) } catch { throw .invalidPolicy("\(error)") }
        }

        package func encoded() -> [UInt8] {
            Array("{\"namespace\":\(JSONText.quoted(namespace)),\"policy\":".utf8) + policy.encodedJSON(.record)
                + Array("}".utf8)
        }
    }
}
