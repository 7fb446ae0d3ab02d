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
        let index: Int? = if case .rule(let index, _) = verdict.reason { index } else { nil }
        return NearMisses.hints(try DomainName(name), scope, policy, deniedBy: index)
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

    @Test func `what is not near is not hinted at, and many hints are few`() throws {
        let others: [(Action, String)] = [
            (.allow, "198.51.100.0/24"), (.allow, "notexample.com"), (.deny, "*.example.com"), (.allow, "com.example"),
        ]
        #expect(try hints(others, "example.com").isEmpty)
        let many = (0..<100).map { _ in (Action.allow, "*.example.com") }
        #expect(try hints(many, "example.com").count <= 4)
    }
}
