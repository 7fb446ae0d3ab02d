import Addresses
import DNSFilter
import Foundation
import Logging
import NetworkPolicy
import Synchronization
import Testing

@testable import Egress

/// A kernel that takes its time: what the test does meanwhile happens while a change is being carried out.
private final class SlowKernel: KernelRules {
    let base = InterpretedKernel()
    let meanwhile = Mutex<(@Sendable () -> Void)?>(nil)

    private func wait() { meanwhile.withLock { $0.take() }?() }

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        wait()
        try base.install(ruleset, learned: learned)
    }
    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        wait()
        try base.apply(difference, learned: learned)
    }
    func wasChangedByOthers() throws(EgressError) -> Bool { false }
    func learned() throws(EgressError) -> [FoundElement] { [] }
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int { 0 }
    func liveFlows() throws(EgressError) -> Set<LiveFlow> { [] }
}

private struct NowhereStore: RecordStore {
    var isFull = false

    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
        if isFull { throw .storage(path: "/nowhere", reason: "it is full") }
        return .nothing
    }
}

/// One thread asks every guard: none may keep it waiting while its own policy is changed.
@Suite struct ChangeIsolationTests {
    private let a = LearnedAddress(address: IPAddress("198.51.100.1")!, lifetime: 60)
    private let b = LearnedAddress(address: IPAddress("198.51.100.2")!, lifetime: 60)

    private func guardian(_ kernel: SlowKernel) throws -> EgressGuard {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let policy = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "*.example")])
        let configuration = EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: []))
        return try EgressGuard(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: policy), dnsPort: 4000,
            surroundings: LinkSurroundings(), kernel: kernel, settings: GuardSettings(configuration), logger: logger)
    }

    /// What the thread of the names is told while `change` waits for the kernel; nil where it is told nothing.
    private func told(
        _ guardian: EgressGuard, _ kernel: SlowKernel, during change: () throws -> Void
    ) rethrows -> (refusals: [Bool], permits: Bool, standing: UInt32, learning: Learning)? {
        let told = Mutex<(refusals: [Bool], permits: Bool, standing: UInt32, learning: Learning)?>(nil)
        let a = a, b = b
        let first = try! DomainName("a.example"), second = try! DomainName("b.example")
        kernel.meanwhile.withLock {
            $0 = {
                let isDone = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    let answers = (
                        [first, second].map { guardian.refusal($0, type: 1) != nil },
                        guardian.permits(b.address, for: second), guardian.validSeconds(of: [a], for: first),
                        guardian.learn([b], for: second)
                    )
                    told.withLock { $0 = answers }
                    isDone.signal()
                }
                _ = isDone.wait(timeout: .now() + 10)
            }
        }
        try change()
        return told.withLock { $0 }
    }

    @Test func `names are answered as before while a change is carried out, and what is new waits for its end`() throws
    {
        let kernel = SlowKernel(), guardian = try guardian(kernel)
        let first = try DomainName("a.example"), second = try DomainName("b.example")
        #expect(guardian.learn([a], for: first) == .opened)
        let before = guardian.revision
        let told = try told(guardian, kernel) {
            _ = try guardian.change(store: NowhereStore(), .merge([Rule(action: .deny, text: "a.example")]))
        }
        #expect(told?.refusals == [false, false] && told?.permits == true)
        #expect((told?.standing ?? 0) > 0 && told?.learning == .later)
        #expect(guardian.revision != before, "nothing that was said before is said again unasked")
        #expect(guardian.refusal(first, type: 1) != nil && guardian.learn([a], for: first) == .withheld)
        #expect(guardian.learn([b], for: second) == .opened)
        #expect(kernel.base.beside(a.address) == nil && kernel.base.beside(b.address) == [second])
    }

    @Test func `after a change that failed names teach again, under the policy that was`() throws {
        let kernel = SlowKernel(), guardian = try guardian(kernel)
        let name = try DomainName("b.example"), policy = guardian.status.policy
        #expect(throws: EgressError.self) {
            try guardian.change(store: NowhereStore(isFull: true), .replace(.denyAll))
        }
        #expect(guardian.status.policy == policy && guardian.learn([b], for: name) == .opened)
    }
}
