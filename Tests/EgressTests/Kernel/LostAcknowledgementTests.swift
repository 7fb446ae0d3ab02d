import Addresses
import DNSFilter
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress

/// A real namespace's kernel whose answers are lost when a test says so: what was asked is done, or is not, and nobody
/// is told which (ENOBUFS, netlink(7)).
private final class ForgetfulKernel: KernelRules {
    enum Loss { case before, after }
    private let base: NamespaceRules
    private let others: NetfilterSocket
    private let losses = Mutex<[Loss]>([])
    /// What happens once, as soon as a change is in force.
    let then = Mutex<(@Sendable () -> Void)?>(nil)

    init(_ namespace: NetworkNamespace) throws {
        base = try NamespaceRules(namespace: namespace)
        others = try namespace.run { try NetfilterSocket() }
    }

    func lose(_ losses: Loss...) { self.losses.withLock { $0 = losses } }

    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        switch losses.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
        case nil:
            try base.apply(difference, learned: learned)
            then.withLock { $0.take() }?()
            return
        case .before: break
        case .after:
            // By another socket: the guard's own does not know of it.
            do { try others.commit(RulesetTransactions.apply(difference, learned: learned)) } catch {
                throw .kernel("\(error)")
            }
        }
        throw .kernel("the kernel's answer was lost")
    }

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        try base.install(ruleset, learned: learned)
    }
    func wasChangedByOthers() throws(EgressError) -> Bool { try base.wasChangedByOthers() }
    func learned() throws(EgressError) -> [FoundElement] { try base.learned() }
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int {
        try base.cut(forgettingNameQueries: forgettingNameQueries, where: isRevoked)
    }
    func liveFlows() throws(EgressError) -> Set<LiveFlow> { try base.liveFlows() }
}

private struct NowhereStore: RecordStore {
    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord { .nothing }
}

/// Takes a record, and cannot put it in its place.
private struct BrokenDisk: RecordStore {
    let folder = "/tmp/spt-broken-\(UInt32.random(in: 0 ... .max))"

    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
        mkdir(folder, 0o700)
        defer {
            unlink(folder + "/a.new")
            rmdir(folder)
        }
        return .whole(try .staged([1], for: folder + "/a"), then: {})
    }
}

@Suite(.serialized) struct LostAcknowledgementTests {
    private let settings = GuardSettings(
        EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: [])))

    private func run(
        _ policy: String, _ body: (EgressGuard, ForgetfulKernel, (String) throws -> Bool) throws -> Void
    ) throws {
        let network = try TestNetwork(), echo = try EchoServer(in: network.outside)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let kernel = try ForgetfulKernel(network.sandbox)
        let surroundings = try NamespaceRules.inside(network.sandbox) { LinkSurroundings.current() }
        let guardian = try EgressGuard(
            record: GuardRecord(
                id: "a", namespacePath: network.sandbox.path, token: "", policy: GuardedNetwork.policy(policy)),
            dnsPort: 4000, surroundings: surroundings, kernel: kernel, settings: settings, logger: logger)
        try withExtendedLifetime(echo) {
            try body(guardian, kernel) { try Probe.stream($0, from: network.sandbox) == .echoed }
        }
    }

    @Test(arguments: [false, true])
    func `E22 a change whose acknowledgement is lost is reported and not in force, made or not`(_ isMade: Bool) throws {
        try run("deny 198.51.100.1") { guardian, kernel, isOpen in
            #expect(try isOpen("198.51.100.1") && !isOpen("198.51.100.2"))
            kernel.lose(isMade ? .after : .before)
            #expect(throws: EgressError.self) {
                try guardian.change(
                    store: NowhereStore(), .merge([Rule(action: .allow, text: "198.51.100.2")]))
            }
            #expect(try isOpen("198.51.100.1") && !isOpen("198.51.100.2"), "what was not acknowledged is not open")
            #expect(guardian.record.policy.rules.count == 1)
            _ = try guardian.change(store: NowhereStore(), .merge([Rule(action: .allow, text: "198.51.100.2")]))
            #expect(try isOpen("198.51.100.2"), "what is acknowledged is in force")
        }
    }

    @Test(arguments: [false, true])
    func `E22 a revocation whose acknowledgement is lost is reported, and the next one closes`(_ isMade: Bool) throws {
        try run("deny 198.51.100.1") { guardian, kernel, isOpen in
            kernel.lose(isMade ? .after : .before)
            #expect(throws: EgressError.self) {
                try guardian.change(store: NowhereStore(), .remove([RuleSelector("198.51.100.1")]))
            }
            #expect(try isOpen("198.51.100.1"), "nothing has changed")
            let status = try guardian.change(store: NowhereStore(), .remove([RuleSelector("198.51.100.1")]))
            #expect(try status.policy.rules.isEmpty && !isOpen("198.51.100.1"))
        }
    }

    @Test(arguments: [false, true])
    func `E22 an answer whose address the kernel did not confirm is held back, and the next one goes out`(
        _ isMade: Bool
    ) throws {
        try run("deny one.example") { guardian, kernel, isOpen in
            let name = try DomainName("one.example"), address = IPAddress("198.51.100.1")!
            kernel.lose(isMade ? .after : .before)
            #expect(guardian.learn([.init(address: address, lifetime: 60)], for: name) == .withheld)
            #expect(try guardian.restore() == isMade)
            #expect(try !isOpen("198.51.100.1"))
            #expect(guardian.learn([.init(address: address, lifetime: 60)], for: name) == .opened)
            #expect(try isOpen("198.51.100.1"))
        }
    }

    @Test(arguments: [false, true])
    func `E22 what began under a policy that could not be stored is ended`(_ isWhole: Bool) throws {
        try run("deny 198.51.100.1 deny 198.51.100.2") { guardian, kernel, isOpen in
            let allow = try Rule(action: .allow, text: "198.51.100.2")
            let change: PolicyChange =
                isWhole ? .replace(Policy(defaultAction: .deny, rules: [allow])) : .merge([allow])
            _ = try guardian.change(store: NowhereStore(), .replace(.denyAll))
            let began = Mutex(false)
            withoutActuallyEscaping({ began.withLock { $0 = (try? isOpen("198.51.100.2")) == true } }) { begin in
                let begin = UncheckedBegin(body: begin)
                kernel.then.withLock { $0 = { begin.body() } }
                #expect(throws: EgressError.self) { try guardian.change(store: BrokenDisk(), change) }
            }
            #expect(began.withLock { $0 } && guardian.record.policy == .denyAll)
            #expect(try kernel.liveDestinations().isEmpty, "the flow has ended")
        }
    }
}

private struct UncheckedBegin: @unchecked Sendable { let body: () -> Void }
