import Addresses
import DNSFilter
import Glibc
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress
@testable import Netfilter

/// Addresses that more names share than the kernel has room for beside them (a CDN).
@Suite struct SharedAddressTests {
    private let address = IPAddress("198.51.100.1")!
    private let names = (0..<40).map { try! DomainName("tenant-\($0).example") }

    private func state(_ policy: Policy, _ settings: GuardSettings) throws -> EgressGuard.State {
        let evaluator = PolicyEvaluator(policy)
        return EgressGuard.State(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: policy), evaluator: evaluator,
            ruleset: try SandboxRuleset(
                dnsPort: 4000, plan: evaluator.addressPlan, alwaysDeny: settings.alwaysDeny, neighbours: []),
            learned: LearnedAddresses(capacity: 100))
    }

    private func settings(_ now: @escaping @Sendable () -> UInt64) -> GuardSettings {
        GuardSettings(EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: [])), now: now)
    }

    private func isOpen(_ kernel: InterpretedKernel, port: UInt16 = 443) -> Bool {
        kernel.table.withLock { $0.action(.init(address, .tcp(port: port))) } == .allow
    }

    private func adopt(
        _ rules: [Rule], _ state: inout EgressGuard.State, _ kernel: InterpretedKernel, _ settings: GuardSettings
    ) throws {
        let next = state.evaluator.applying(.merge(rules))
        var record = state.record
        record.policy = next.evaluator.policy
        _ = try state.adopt(
            record, evaluator: next.evaluator, touched: next.touched, kernel: kernel, settings: settings)
    }

    private func learn(
        _ name: DomainName, _ state: inout EgressGuard.State, _ kernel: InterpretedKernel, _ settings: GuardSettings,
        timeToLive: UInt32 = 60
    ) throws {
        let isOpen = try state.learn(
            [.init(address: address, lifetime: timeToLive)], from: name, kernel: kernel, settings: settings)
        #expect(isOpen == .opened)
    }

    @Test
    func `forty names of one address, asked for in turn, cost a transaction only where the kernel learns something`()
        throws
    {
        let now = Box(1000), settings = settings { now.value }
        var state = try state(Policy(defaultAction: .deny, rules: [Rule(action: .allow, text: "*.example")]), settings)
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        for name in names { try learn(name, &state, kernel, settings) }
        let first = kernel.applications.withLock { $0 }
        #expect((2...16).contains(first), "as many as there is room for beside the address")
        for _ in 0..<3 {
            now.value += 5
            // What is left of their records in a cache.
            for name in names { try learn(name, &state, kernel, settings, timeToLive: 40) }
        }
        #expect(kernel.applications.withLock { $0 } == first)
        #expect(state.learned.displacements == 0)
        let cached = [LearnedAddress(address: address, lifetime: 40)]
        #expect(names.allSatisfy { state.validSeconds(of: cached, for: $0, settings: settings) > 0 })
        // A longer record is one more, and its name comes first beside the address.
        try learn(names[39], &state, kernel, settings, timeToLive: 600)
        #expect(kernel.applications.withLock { $0 } == first + 1)
        #expect(kernel.beside(address)?.first == names[39])
    }

    @Test func `E23 so many names of so many addresses are judged in a second, and what is known goes on`() throws {
        let now = Box(1000), settings = settings { now.value }
        var state = try state(Policy(defaultAction: .allow), settings)
        state.learned = LearnedAddresses(capacity: 1000)
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        let shared = (0..<64).map { LearnedAddress(address: IPAddress("198.51.100.\($0)")!, lifetime: 60) }
        func learn(_ name: String, _ addresses: [LearnedAddress]) throws -> Bool {
            try state.learn(addresses, from: DomainName(name), kernel: kernel, settings: settings) == .opened
        }
        var known = 0
        while known < 200, try learn("n\(known).example", shared) { known += 1 }
        #expect((JudgementAllowance.free..<60).contains(known))
        #expect(try !learn("n\(known).example", shared), "not in this second")
        let other = [LearnedAddress(address: IPAddress("203.0.113.1")!, lifetime: 60)]
        #expect(try learn("n0.example", shared) && learn("other.example", other))
        now.value += 1
        #expect(try learn("n\(known).example", shared), "in the next")
    }

    @Test func `an address closes with the last name that opens it, wherever that is remembered`() throws {
        let settings = settings { 1000 }
        var state = try state(Policy(defaultAction: .deny, rules: [Rule(action: .allow, text: "*.example")]), settings)
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        for name in names { try learn(name, &state, kernel, settings) }
        #expect(isOpen(kernel))
        var order = names
        order.shuffle()
        for name in order.dropLast() {
            try adopt([Rule(action: .deny, text: name.description)], &state, kernel, settings)
            #expect(isOpen(kernel), "another name is left")
            let beside = try #require(kernel.beside(address))
            #expect(!beside.contains(name), "a later guard does not find what was revoked")
        }
        #expect(kernel.beside(address) == [order.last!], "what is left is what a later guard finds")
        try adopt([Rule(action: .deny, text: order.last!.description)], &state, kernel, settings)
        #expect(!isOpen(kernel) && kernel.beside(address) == nil)
    }

    @Test func `a name that opens more is told to the kernel although there is no room for it`() throws {
        let settings = settings { 1000 }
        let web = try TrafficScope(transport: .tcp, ports: [443...443])
        let mail = try TrafficScope(transport: .tcp, ports: [25...25])
        let policy = Policy(
            defaultAction: .deny,
            rules: [
                try Rule(action: .allow, text: "tenant-39.example", scope: mail),
                try Rule(action: .allow, text: "*.example", scope: web),
            ])
        var state = try state(policy, settings)
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        for name in names.dropLast() { try learn(name, &state, kernel, settings) }
        #expect(isOpen(kernel) && !isOpen(kernel, port: 25))
        try learn(names[39], &state, kernel, settings)
        #expect(isOpen(kernel) && isOpen(kernel, port: 25))
        try adopt([Rule(action: .deny, text: "tenant-39.example")], &state, kernel, settings)
        #expect(isOpen(kernel) && !isOpen(kernel, port: 25))
    }

    private final class Box: Sendable {
        private let kept: Mutex<UInt64>
        init(_ value: UInt64) { kept = Mutex(value) }
        var value: UInt64 {
            get { kept.withLock { $0 } }
            set { kept.withLock { $0 = newValue } }
        }
    }
}

/// The same over a restart, in a real namespace.
@Suite(.serialized) struct SharedAddressRecoveryTests {
    @Test func `E22 after a restart, too, an address closes with the last name that opens it`() async throws {
        let names = (0..<40).map { "tenant-\($0).example" }
        let guarded = try GuardedNetwork()
        let upstream = UpstreamServer(Dictionary(uniqueKeysWithValues: names.map { ($0, ["198.51.100.1"]) }))
        guarded.configuration.dns.upstreams = [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)]
        let first = try await guarded.node()
        try await first.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox,
            policy: Policy(defaultAction: .deny, rules: [Rule(action: .allow, text: "*.example")]))
        for name in names { #expect(try guarded.resolve(name) == ["198.51.100.1"]) }
        // All but the last, which had no room beside the address, and another one.
        let denied = try names[..<38].map { try Rule(action: .deny, text: $0) }
        try await first.patch(GuardedNetwork.id, denied)
        #expect(try guarded.stream("198.51.100.1") == .echoed)
        await first.shutdown()

        let second = try await guarded.node()
        #expect(try guarded.stream("198.51.100.1") == .echoed, "two names are left, and were found")
        try await second.patch(GuardedNetwork.id, [Rule(action: .deny, text: names[38])])
        #expect(try guarded.stream("198.51.100.1") == .echoed)
        try await second.patch(GuardedNetwork.id, [Rule(action: .deny, text: names[39])])
        #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        try await second.removeRules(GuardedNetwork.id, [RuleSelector(names[39])])
        #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED), "who is allowed again has to ask again")
        #expect(try guarded.resolve(names[39]) == ["198.51.100.1"])
        #expect(try guarded.stream("198.51.100.1") == .echoed)
        await second.shutdown()
    }
}
