import Addresses
import NetworkPolicy
import Testing

@testable import Egress

/// Hints about rules that look as if they allowed a name.
@Suite struct NearMissTests {
    private func hints(
        _ rules: [(Action, String)], _ name: String, _ scope: TrafficScope = .unstated
    ) throws -> [String] {
        let policy = Policy(defaultAction: .deny, rules: try rules.map { try Rule(action: $0.0, text: $0.1) })
        let verdict = PolicyEvaluator(policy).evaluate(try DomainName(name), scope)
        #expect(!verdict.isAllowed, "there is nothing to hint at")
        return NearMisses.hints(try DomainName(name), scope, policy, verdict.reason)
    }

    @Test func `a wildcard does not include its zone, nor a name what is below it`() throws {
        #expect(
            try hints([(.allow, "*.example.com")], "example.com")
                == ["rule 0, allow *.example.com, does not include example.com itself: allow example.com, too"])
        #expect(
            try hints([(.allow, "other.org"), (.allow, "example.com")], "www.example.com") == [
                "rule 1, allow example.com, does not include names below example.com: allow www.example.com or *.example.com"
            ])
    }

    @Test func `a rule that comes too late, or opens another port, is named`() throws {
        #expect(
            try hints([(.deny, "*.example.com"), (.allow, "a.example.com")], "a.example.com")
                == ["rule 1, allow a.example.com, comes too late: rule 0 denies it first"])
        let scope = try TrafficScope(transport: .tcp, ports: [80...80])
        #expect(
            try hints([(.allow, "a.example.com:443")], "a.example.com", scope)
                == ["rule 0, allow a.example.com:443, does not open this port and protocol"])
    }

    @Test func `rules for an address that come too late, or open another port, are named`() throws {
        func hints(_ rules: [(Action, String)], _ scope: TrafficScope = .unstated) throws -> [String] {
            let policy = Policy(defaultAction: .deny, rules: try rules.map { try Rule(action: $0.0, text: $0.1) })
            let address = try #require(IPAddress("198.51.100.7"))
            let verdict = PolicyEvaluator(policy).evaluate(address, scope)
            #expect(!verdict.isAllowed)
            return NearMisses.hints(address, scope, policy, verdict.reason)
        }
        #expect(
            try hints([(.deny, "198.51.100.0/24"), (.allow, "198.51.100.7"), (.allow, "203.0.113.1")])
                == ["rule 1, allow 198.51.100.7, comes too late: rule 0 denies it first"])
        let scope = try TrafficScope(transport: .tcp, ports: [80...80])
        #expect(
            try hints([(.allow, "*:443")], scope) == ["rule 0, allow *:443, does not open this port and protocol"])
    }

    @Test func `a rule of the operator leaves nothing to say of the policy's`() throws {
        let rule = try Rule(action: .deny, text: "example.com")
        let policy = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "example.com")])
        #expect(
            NearMisses.hints(try DomainName("example.com"), .unstated, policy, .operatorRule(rule))
                == ["the operator denies it: no rule of the policy changes that"])
    }

    @Test func `a rule about an alias is named, since it has no say`() throws {
        let policy = Policy(
            defaultAction: .deny,
            rules: [
                try Rule(action: .allow, text: "shop.example"), try Rule(action: .deny, text: "*.cdn.example"),
                try Rule(action: .allow, text: "y.cdn.example"),
            ])
        let name = try DomainName("shop.example"), aliases: Set = [try DomainName("x.cdn.example")]
        #expect(
            NearMisses.hints(name, ofAliases: aliases, .deny, policy) == [
                "rule 1, deny *.cdn.example, is about x.cdn.example, an alias of shop.example: only the name that is asked for is judged"
            ])
        #expect(NearMisses.hints(name, ofAliases: aliases, .allow, policy).isEmpty)
    }

    @Test func `what is not near is not hinted at, and many hints are few`() throws {
        let others: [(Action, String)] = [
            (.allow, "198.51.100.0/24"), (.allow, "notexample.com"), (.deny, "*.example.com"), (.allow, "com.example"),
            (.allow, "a.b.example.com"),
        ]
        #expect(try hints(others, "example.com").isEmpty)
        #expect(
            try hints([(.allow, "www.example.com")], "example.com") == [
                "rule 0, allow www.example.com, does not include example.com, which is above it: allow example.com, too"
            ])
        let many = (0..<100).map { _ in (Action.allow, "*.example.com") }
        #expect(try hints(many, "example.com").count <= 4)
    }
}
