import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// Guards one sandbox without a kernel.
private struct FakeController: NamespaceController {
    static let token = String(repeating: "a", count: 64)
    var guarded: [String] { get async { ["abc-1"] } }

    func known(_ id: String) throws(EgressError) {
        guard id == "abc-1" else { throw .notGuarded(id) }
    }
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(EgressError) {}
    func release(_ id: String) async {}
    func status(_ id: String) async throws(EgressError) -> PolicyStatus {
        try known(id)
        throw .kernel("as much as this one knows")
    }
    func replace(_ id: String, with policy: Policy) async throws(EgressError) -> PolicyStatus { try await status(id) }
    func patch(_ id: String, _ rules: [Rule]) async throws(EgressError) -> PolicyStatus { try await status(id) }
    func removeRules(_ id: String, _ targets: [RuleSelector]) async throws(EgressError) -> PolicyStatus {
        try await status(id)
    }
    func token(of id: String) async throws(EgressError) -> String {
        try known(id)
        return Self.token
    }
}

extension FakeController: EgressInspector {
    func explain(_ id: String, _ question: PolicyQuestion) async throws(EgressError) -> PolicyExplanation {
        throw .notGuarded(id)
    }
    func suggestion(_ id: String) async throws(EgressError) -> PolicySuggestion { throw .notGuarded(id) }
    func events(_ id: String) async throws(EgressError) -> EventLog { throw .notGuarded(id) }
    func effectivePolicy(_ id: String) async throws(EgressError) -> EffectivePolicy { throw .notGuarded(id) }
}

@Suite struct PolicyAPITests {
    /// specs/egress.yaml.
    @Test func `every route of a sandbox has a document, and every document a route`() throws {
        let written = try Specification.written("egress")
        let served = Specification.served(api.http.patterns, by: written)
            .map { $0.replacing("/sandboxes/{}", with: "") }
        #expect(Set(served) == written && written.count == 10)
    }

    private let api: PolicyAPI = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return PolicyAPI(controller: FakeController(), maxRules: 10, maxBodyBytes: 100, logger: logger)
    }()

    private func ask(
        _ method: HTTPMethod, _ target: String, _ body: String = "", token: String? = FakeController.token,
        of http: HTTPAPI? = nil
    ) async -> (status: UInt, text: String, allow: String?) {
        let reply = await (http ?? api.http).reply(
            to: HTTPRequest(
                method: method, target: target, headers: token.map { [PolicyToken.header: $0] } ?? [:],
                body: HTTPBody(ByteBuffer(string: body))))
        return (reply.status.code, String(decoding: reply.bytes, as: UTF8.self), reply.headers.first(name: "allow"))
    }

    @Test(arguments: [
        "", "/", "/sandboxes", "/sandboxes/abc-1", "/sandboxes/abc-1/", "/sandboxes//policy",
        "/sandboxes/abc-1/policy/", "/sandboxes/abc-1/../b/policy", "/sandboxes/abc-1/%2e%2e/b/policy",
        "/sandboxes/abc-1%2F..%2Fb/policy", "/sandboxes/../policy", "/sandboxes/./policy", "/sandboxes/abc-1/token",
        "//sandboxes/abc-1/policy", "/sandboxes/abc-1/sandboxes/b/policy", "sandboxes/abc-1/policy",
        "/sandboxes/a b/policy", "/SANDBOXES/abc-1/policy", "/sandboxes/abc-1/events/", "/sandboxes/abc-1/explain",
        "/sandboxes/abc-1/policy//explain", "/sandboxes/abc-1/policy/events", "/sandboxes/abc-1/policy%2Fexplain",
        "/metrics", "/v1/sandboxes/abc-1/policy",
    ])
    func `a path that is not exactly a sandbox's own resource leads nowhere`(_ path: String) async {
        let answer = await ask(.GET, path)
        #expect(answer == (404, "not found\n", nil))
    }

    @Test func `a policy is its sandbox's, and errors are a line of text`() async {
        for token in [nil, "", "b" + FakeController.token.dropFirst()] {
            #expect(await ask(.GET, "/sandboxes/abc-1/policy", token: token).status == 401)
        }
        #expect(
            await ask(.GET, "/sandboxes/other/policy").status == 401, "an unknown one is refused as a wrong token is")
        #expect(await ask(.TRACE, "/sandboxes/abc-1/policy", token: nil).allow == nil)
        let traced = await ask(.TRACE, "/sandboxes/abc-1/policy")
        #expect(traced.status == 405 && traced.allow == "DELETE, GET, HEAD, PATCH, POST, PUT")
        #expect(traced.text == "method not allowed: use DELETE, GET, HEAD, PATCH, POST, PUT\n")
        #expect(await ask(.PUT, "/sandboxes/abc-1/policy", "{").status == 400)
        let large = await ask(.PUT, "/sandboxes/abc-1/policy", String(repeating: " ", count: 101))
        #expect(large.status == 413 && large.text == "the body is larger than 100 bytes\n")
        let failed = await ask(.GET, "/sandboxes/abc-1/policy")
        #expect(failed.status == 500 && !failed.text.contains("as much"), "what the kernel said is the operator's")
        #expect(await ask(.GET, "/sandboxes/abc-1/healthz", token: nil).text == "ok\n")
        #expect(await ask(.GET, "/sandboxes/other/healthz", token: nil).status == 404)
    }

    @Test func `the administrative socket asks for no token, and tells the operator everything`() async {
        let http = AdminAPI(node: FakeController(), policyAPI: api, metrics: { "counts" }).http
        #expect(await ask(.GET, "/sandboxes", token: nil, of: http).text == #"["abc-1"]"#)
        #expect(await ask(.GET, "/metrics", token: nil, of: http).text == "counts")
        #expect(await ask(.GET, "/sandboxes/abc-1/token", token: nil, of: http).text == FakeController.token)
        #expect(await ask(.GET, "/sandboxes/other/token", token: nil, of: http).status == 404)
        #expect(await ask(.DELETE, "/sandboxes/abc-1", token: nil, of: http).status == 204)
        #expect(await ask(.DELETE, "/sandboxes/.", token: nil, of: http).status == 400)
        #expect(await ask(.POST, "/sandboxes/abc-1", token: nil, of: http).allow == "DELETE, PUT")
        #expect(await ask(.PUT, "/sandboxes/abc-1", #"{"namespace":"relative"}"#, token: nil, of: http).status == 400)
        let told = await ask(.PUT, "/sandboxes/abc-1", #"{"namespace":"/run/netns/x"}"#, token: nil, of: http)
        #expect(told.status == 500 && told.text.contains("as much as this one knows"))
        #expect(await ask(.GET, "/sandboxes/abc-1/policy", token: nil, of: http).status == 500)
    }
}
