import Testing

@testable import Egress

@Suite struct PolicyRouteTests {
    @Test func `a sandbox's own resources are found`() {
        #expect(PolicyRoute(rawPath: "/sandboxes/abc-1/policy") == .policy("abc-1"))
        #expect(PolicyRoute(rawPath: "/sandboxes/abc-1/healthz") == .health("abc-1"))
        #expect(PolicyRoute(rawPath: "/sandboxes/abc-1/policy/explain") == .explanation("abc-1"))
        #expect(PolicyRoute(rawPath: "/sandboxes/abc-1/policy/suggestion") == .suggestion("abc-1"))
        #expect(PolicyRoute(rawPath: "/sandboxes/abc-1/events") == .events("abc-1"))
    }

    @Test(arguments: [
        "", "/", "/sandboxes", "/sandboxes/a", "/sandboxes/a/", "/sandboxes//policy", "/sandboxes/a/policy/",
        "/sandboxes/a/../b/policy", "/sandboxes/a/%2e%2e/b/policy", "/sandboxes/a%2F..%2Fb/policy",
        "/sandboxes/../policy", "/sandboxes/./policy", "/sandboxes/a/token", "//sandboxes/a/policy",
        "/sandboxes/a/sandboxes/b/policy", "sandboxes/a/policy", "/sandboxes/a b/policy", "/SANDBOXES/a/policy",
        "/sandboxes/a/policy/explain/", "/sandboxes/a/policy/explain/x", "/sandboxes/a/events/", "/sandboxes/a/explain",
        "/sandboxes/a/policy//explain", "/sandboxes/a/policy/events", "/sandboxes/a/policy%2Fexplain",
    ])
    func `a path that is not exactly one of them leads nowhere`(_ path: String) {
        #expect(PolicyRoute(rawPath: path) == nil)
    }
}
