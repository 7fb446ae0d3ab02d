import Addresses
import DNSFilter
import Logging
import NetworkPolicy
import Synchronization
import Testing

@testable import Egress
@testable import Netfilter

/// The operator's rules of one guard: in front of what clients write, and out of their way.
@Suite struct OperatorLayerTests {
    private let kernel = InterpretedKernel()
    private let open = IPAddress("198.51.100.1")!, closed = IPAddress("198.51.100.2")!

    private struct FullDisk: RecordStore {
        func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
            throw .storage(path: "/nowhere", reason: "it is full")
        }
    }

    private func rules(_ action: Action, _ targets: String...) throws -> [Rule] {
        try targets.map { try Rule(action: action, text: $0) }
    }

    private func guardian(_ operators: [Rule], _ policy: Policy = .denyAll) throws -> EgressGuard {
        let configuration = EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: []))
        return try EgressGuard(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: policy), operatorRules: operators,
            dnsPort: 4000, surroundings: LinkSurroundings(), kernel: kernel, settings: GuardSettings(configuration),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func opens(_ address: IPAddress) -> Bool {
        kernel.table.withLock { $0.action(.init(address, .tcp(port: 80))) } == .allow
    }

    @Test func `a client's changes do not install anew, nor touch what the operator denies`() throws {
        let guardian = try guardian(try rules(.deny, "198.51.100.2", "evil.example"))
        let changes: [PolicyChange] = [
            .merge(try rules(.allow, "198.51.100.0/24", "*.example")), .merge(try rules(.allow, "198.51.100.2")),
            .merge(try rules(.allow, "evil.example")), .remove([try RuleSelector("evil.example")]),
        ]
        for change in changes {
            _ = try guardian.change(store: NoStore(), change)
            #expect(opens(open) && !opens(closed))
            #expect(guardian.refusal(try DomainName("evil.example"), type: 1) != nil)
            #expect(guardian.refusal(try DomainName("good.example"), type: 1) == nil)
        }
        #expect(kernel.installations.withLock { $0 } == 1)
        // What clients read is what they wrote.
        #expect(guardian.status.policy.rules.map(\.text) == ["198.51.100.2", "198.51.100.0/24", "*.example"])
        // Removing what a client has not written removes nothing.
        let removed = try guardian.change(store: NoStore(), .remove([try RuleSelector("evil.example")]))
        #expect(removed.reason == PolicyStatus.nothingRemoved)
        // A PUT and observing leave them where they are, too.
        for policy in [Policy.allowAll, Policy(defaultAction: .allow, mode: .observe)] {
            _ = try guardian.change(store: NoStore(), .replace(policy))
            #expect(opens(open) && !opens(closed))
            #expect(guardian.refusal(try DomainName("evil.example"), type: 1) != nil)
        }
    }

    @Test func `other rules of the operator are in force at once, and the policy stays as it was written`() throws {
        let guardian = try guardian(try rules(.deny, "198.51.100.2"), .allowAll)
        #expect(opens(open) && !opens(closed))
        try guardian.replaceOperatorRules(try rules(.deny, "198.51.100.1"))
        #expect(!opens(open) && opens(closed) && guardian.record.policy == .allowAll)
        try guardian.replaceOperatorRules([])
        #expect(opens(open) && opens(closed))
    }

    @Test func `a change that the disk refuses leaves both layers as they were`() throws {
        let guardian = try guardian(try rules(.deny, "198.51.100.2"))
        let policy = guardian.record.policy
        #expect(throws: EgressError.self) {
            try guardian.change(store: FullDisk(), .merge(try rules(.allow, "198.51.100.0/24")))
        }
        #expect(guardian.record.policy == policy && !opens(open) && !opens(closed))
        _ = try guardian.change(store: NoStore(), .merge(try rules(.allow, "198.51.100.0/24")))
        #expect(opens(open) && !opens(closed))
    }
}
