import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

@Suite struct FirstRecordsTests {
    private let state: FirstState

    init() throws { state = try FirstState() }

    private func record(_ id: String, _ policy: Policy) -> GuardRecord {
        GuardRecord(
            id: id, namespacePath: "/run/sallyport/netns/\(id)", token: String(repeating: "f", count: 64),
            policy: policy)
    }

    @Test func `records of every version are read with their policies, and what stands in their journal`() throws {
        let store = try PolicyStore(folder: state.path + "/egress")
        #expect(try store.identifiers() == ["7c2f", "8e30", "9d41"])
        let name = try Rule(action: .allow, text: "pypi.org"), block = try Rule(action: .deny, text: "198.51.100.0/24")
        let ports = try Rule(
            action: .allow, text: "a.example", scope: TrafficScope(transport: .tcp, ports: [443...443, 8000...8090]))
        #expect(try store.load("7c2f") == record("7c2f", Policy(defaultAction: .deny, rules: [name, block])))
        let policy = Policy(defaultAction: .deny, rules: [name, ports, block])
        #expect(try store.load("8e30") == record("8e30", policy))
        var observing = policy
        observing.mode = .observe
        let changes = [
            PolicyChange.merge([try Rule(action: .allow, text: "b.example")]),
            .remove([try RuleSelector("pypi.org")]),
        ]
        let changed = changes.reduce(PolicyEvaluator(observing)) { $0.applying($1).evaluator }
        let read = try store.load("9d41")
        #expect(read == record("9d41", changed.policy) && read.policy.ruleCount == 3)
        #expect(try PolicyEvaluator(read.policy).evaluate(DomainName("b.example")).isAllowed)
    }
}
