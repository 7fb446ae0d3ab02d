import NIOConcurrencyHelpers
import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct TrafficTests {
    private final class Clock: Sendable {
        let now = NIOLockedValueBox<UInt64>(1)
        func pass(_ seconds: UInt64) { now.withLockedValue { $0 += seconds * 1_000_000_000 } }
    }

    private func budget(_ clock: Clock, _ set: (inout TrafficLimits) -> Void) -> TrafficBudget {
        var limits = TrafficLimits()
        set(&limits)
        return TrafficBudget(limits) { clock.now.withLockedValue { $0 } }
    }

    @Test func `a client asks as often as it may, all of a slash 64 together`() {
        let clock = Clock()
        let budget = budget(clock) { ($0.clientRate, $0.clientBurst) = (1, 3) }
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] { #expect(budget.request(of: host) == nil) }
        #expect(budget.request(of: "2001:db8::4") == 1)
        #expect(budget.request(of: "2001:db8:0:1::4") == nil && budget.request(of: "192.0.2.1") == nil)
        clock.pass(1)
        #expect(budget.request(of: "2001:db8::9") == nil && budget.request(of: "2001:db8::9") != nil)
    }

    @Test func `a route and a sandbox have limits of their own`() {
        let clock = Clock()
        let budget = budget(clock) { ($0.routeRate, $0.routeBurst, $0.sandboxConcurrency) = (1, 1, 2) }
        func ask(_ port: Int) -> Bool { budget.request(for: "s", port, incarnation: "i") == nil }
        #expect(ask(1) && !ask(1) && ask(2))
        budget.begin("i")
        #expect(ask(3))
        budget.begin("i")
        #expect(!ask(4) && budget.request(for: "t", 1, incarnation: "j") == nil)
        budget.end("i")
        #expect(ask(4))
    }

    @Test func `connections are counted, and given back`() {
        let budget = budget(Clock()) { $0.clientConnections = 2 }
        #expect(budget.connect("192.0.2.1") && budget.connect("::ffff:192.0.2.1") && !budget.connect("192.0.2.1"))
        #expect(budget.connect("192.0.2.2"))
        budget.disconnect("192.0.2.1")
        #expect(budget.connect("192.0.2.1"))
    }

    @Test func `limits change while they are used, and none is lost or counted twice`() {
        let clock = Clock()
        let budget = budget(clock) { ($0.clientRate, $0.clientBurst) = (1, 2) }
        var limits = TrafficLimits()
        (limits.clientRate, limits.clientBurst) = (1, 2)
        #expect(budget.request(of: "192.0.2.1") == nil && budget.request(of: "192.0.2.1") == nil)
        limits.maxBody = 9
        budget.change(limits)
        #expect(budget.request(of: "192.0.2.1") != nil, "the same rate is not given anew")
        #expect(budget.maxBody == 9)
        limits.clientBurst = 3
        budget.change(limits)
        #expect(budget.request(of: "192.0.2.1") == nil)
        budget.change(.none)
        #expect(budget.maxBody == nil)
        for _ in 0..<100 { #expect(budget.request(of: "192.0.2.1") == nil) }
    }

    @Test func `what was open before a limit was set takes no place from others when it ends`() {
        let budget = budget(Clock()) { _ in }
        #expect(budget.connect("192.0.2.1") && !budget.begin("i"))
        var limits = TrafficLimits()
        (limits.clientConnections, limits.sandboxConcurrency) = (1, 1)
        budget.change(limits)
        #expect(!budget.connect("192.0.2.1"), "connections count, whenever they were opened")
        budget.disconnect("192.0.2.1")
        #expect(budget.connect("192.0.2.1"))
        #expect(budget.begin("i") && budget.request(for: "s", 1, incarnation: "i") != nil)
        budget.change(.none)
        budget.end("i")
        budget.change(limits)
        #expect(budget.request(for: "s", 1, incarnation: "i") == nil, "its end is counted without a limit, too")
    }

    @Test func `without limits nothing is counted`() {
        let budget = budget(Clock()) { _ in }
        for _ in 0..<1000 {
            #expect(budget.request(of: "192.0.2.1") == nil && budget.connect("192.0.2.1"))
            budget.begin("i")
            #expect(budget.request(for: "s", 1, incarnation: "i") == nil)
        }
    }

    @Test(arguments: [
        ([], "192.0.2.9", "198.51.100.1", "192.0.2.9"), (["192.0.2.0/24"], "192.0.2.9", "198.51.100.1", "198.51.100.1"),
        (["192.0.2.0/24"], "203.0.113.1", "198.51.100.1", "203.0.113.1"),
        // What the client has written itself stands in front.
        (["192.0.2.0/24"], "192.0.2.9", "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        (["192.0.2.0/24"], "192.0.2.9", "198.51.100.1, 192.0.2.8", "198.51.100.1"),
        (["192.0.2.0/24"], "192.0.2.9", "198.51.100.1, unknown, 192.0.2.8", "192.0.2.8"),
        (["192.0.2.0/24"], "192.0.2.9", "", "192.0.2.9"),
        (["2001:db8::/33"], "2001:db8:8000::1", "::1", "2001:db8:8000::1"),
        (["2001:db8::/33"], "2001:db8:7fff::1", "2001:db8:ffff::1", "2001:db8:ffff::1"),
        (["192.0.2.9"], "::ffff:192.0.2.9", "198.51.100.1", "198.51.100.1"),
    ])
    func `a client is who has connected, or whom a trusted proxy names`(
        _ trusted: [String], _ peer: String, _ forwarded: String, _ client: String
    ) throws {
        let proxies = try #require(TrustedProxies(trusted))
        #expect(proxies.client(of: ["X-Forwarded-For": forwarded], peer: peer) == client)
    }

    @Test(arguments: [
        "", "x", "192.0.2.1/33", "192.0.2.1/-1", "192.0.2.1/", "::/129", "192.0.2.1/8/8", "proxy.example",
    ])
    func `what is no block is refused`(_ text: String) { #expect(TrustedProxies([text]) == nil) }
}
