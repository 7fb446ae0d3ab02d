import Addresses
import DNSFilter
import NetworkPolicy
import Synchronization
import Testing

@testable import Egress
@testable import Netfilter

/// A kernel that is a value: it refuses what the real one would refuse.
final class InterpretedKernel: KernelRules {
    let table = Mutex(TableInterpreter())
    let installations = Mutex(0)
    /// Transactions since.
    let applications = Mutex(0)
    private let names = Mutex<[IPAddress: [UInt8]]>([:])

    /// The names that are kept beside a learned address, in their order.
    func beside(_ address: IPAddress) -> [DomainName]? {
        names.withLock { $0[address] }.flatMap(LearnedNames.decode)
    }

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        installations.withLock { $0 += 1 }
        try commit(RulesetTransactions.install(ruleset, learned: learned))
        names.withLock { $0 = Dictionary(uniqueKeysWithValues: learned.map { ($0.address, $0.names) }) }
    }
    func wasChangedByOthers() throws(EgressError) -> Bool { false }
    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        applications.withLock { $0 += 1 }
        try commit(RulesetTransactions.apply(difference, learned: learned))
        names.withLock { names in for change in learned { names[change.address] = change.after?.names } }
    }
    private func commit(_ transaction: Transaction) throws(EgressError) {
        do { try table.withLock { try $0.commit(transaction) } } catch { throw .kernel("\(error)") }
    }
    func learned() throws(EgressError) -> [FoundElement] { [] }
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int { 0 }
    func liveFlows() throws(EgressError) -> Set<LiveFlow> { [] }
}

extension TableInterpreter.Packet {
    init(_ destination: IPAddress, _ traffic: Traffic) {
        switch traffic {
        case .tcp(let port): self.init(destination: destination, protocolNumber: IPProtocol.tcp, port: port)
        case .udp(let port): self.init(destination: destination, protocolNumber: IPProtocol.udp, port: port)
        case .icmp:
            let number = destination.isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6
            self.init(destination: destination, protocolNumber: number, port: 0)
        case .other:
            // ICMP of the other family is no ICMP.
            let number = [132, 47, destination.isIPv4 ? IPProtocol.icmpv6 : IPProtocol.icmp].randomElement()!
            self.init(destination: destination, protocolNumber: number, port: 0)
        }
    }
}

/// The compiled rules, read as values, against walking the policy's rules: for every address with every set of names.
@Suite struct CompiledPlanTests {
    private let settings = GuardSettings(
        EgressConfiguration(stateDirectory: "", socketPath: "", dns: .init(upstreams: [])), now: { 1000 })
    private let addresses = [
        "198.51.100.1", "198.51.100.129", "203.0.113.9", "10.0.0.1", "255.255.255.255", "2001:db8::1", "fd00::7",
        "2001:db8:8000::1",
    ].map { IPAddress($0)! }

    private func state(_ policy: Policy) throws -> EgressGuard.State {
        let evaluator = PolicyEvaluator(policy)
        return EgressGuard.State(
            record: GuardRecord(id: "a", namespacePath: "/", token: "", policy: policy), evaluator: evaluator,
            ruleset: try SandboxRuleset(
                dnsPort: 4000, plan: evaluator.addressPlan, alwaysDeny: settings.alwaysDeny, neighbours: [],
                partSize: [1, 2, 3, RangeShards.usualSize].randomElement()!),
            learned: LearnedAddresses(capacity: 100))
    }

    private func check(_ state: EgressGuard.State, _ kernel: InterpretedKernel, _ names: [IPAddress: Set<DomainName>]) {
        let policy = state.record.policy, table = kernel.table.withLock { $0 }
        for address in addresses {
            // A name opens nothing of a private address: there the address rules alone allow.
            let isPrivate = !settings.filter.permits(address, for: try! DomainName("a.com"))
            for traffic in RandomPolicy.traffic {
                let raw = WalkingOracle.action(policy, name: nil, address: address, traffic)
                let readings = (names[address] ?? []).map {
                    let action = WalkingOracle.action(policy, name: $0, address: address, traffic)
                    return isPrivate && action == .allow ? raw : action
                }
                let expected: Action = readings.isEmpty ? raw : readings.contains(.allow) ? .allow : .deny
                let action = table.action(.init(address, traffic))
                #expect(action == expected, "\(address) \(traffic) \(names[address] ?? []) \(policy.rules)")
                #expect(state.allowsFlow(to: address, traffic, settings: settings) == (action == .allow))
            }
        }
        for traffic in RandomPolicy.traffic {
            #expect(table.action(.init(IPAddress("169.254.169.254")!, traffic)) == .deny)
        }
    }

    @Test func `the kernel's rules decide as walking the policy does, after every change`() throws {
        for _ in 0..<25 {
            var state = try state(RandomPolicy.make())
            let kernel = InterpretedKernel()
            try kernel.install(state.ruleset, learned: [])
            var names: [IPAddress: Set<DomainName>] = [:]
            for _ in 0..<4 {
                for _ in 0..<4 {
                    let name = try DomainName(RandomPolicy.names.randomElement()!), address = addresses.randomElement()!
                    let addresses = [LearnedAddress(address: address, lifetime: 60)]
                    if try state.learn(addresses, from: name, kernel: kernel, settings: settings) == .opened {
                        names[address, default: []].insert(name)
                    } else {
                        #expect(!state.allows(address, learnedFrom: name, settings: settings))
                    }
                }
                check(state, kernel, names)
                let before = names
                var record = state.record
                record.policy = try RandomPolicy.make()
                let undo = try state.adopt(record, kernel: kernel, settings: settings)
                for (address, known) in names {
                    names[address] = known.filter { state.allows(address, learnedFrom: $0, settings: settings) }
                }
                check(state, kernel, names)
                if Bool.random() {
                    _ = try state.adopt(undo.record, restoring: undo.learned, kernel: kernel, settings: settings)
                    names = before
                    check(state, kernel, names)
                }
            }
        }
    }

    @Test func `patches and removals that look at what they touch alone lead to the same rules`() throws {
        for _ in 0..<25 {
            var state = try state(RandomPolicy.make())
            let kernel = InterpretedKernel()
            try kernel.install(state.ruleset, learned: [])
            var names: [IPAddress: Set<DomainName>] = [:]
            for _ in 0..<8 {
                for _ in 0..<3 {
                    let name = try DomainName(RandomPolicy.names.randomElement()!), address = addresses.randomElement()!
                    let addresses = [LearnedAddress(address: address, lifetime: 60)]
                    if try state.learn(addresses, from: name, kernel: kernel, settings: settings) == .opened {
                        names[address, default: []].insert(name)
                    }
                }
                let before = state, known = names, rules = try RandomPolicy.make().rules
                let next = state.evaluator.applying(
                    Bool.random() ? .merge(rules) : .remove(rules.map { .target($0.target) }))
                var record = state.record
                record.policy = next.evaluator.policy
                let undo = try state.adopt(
                    record, evaluator: next.evaluator, touched: next.touched, kernel: kernel, settings: settings)
                for (address, known) in names {
                    names[address] = known.filter { state.allows(address, learnedFrom: $0, settings: settings) }
                }
                check(state, kernel, names)
                let shut = addresses.contains { address in
                    RandomPolicy.traffic.contains {
                        before.allowsFlow(to: address, $0, settings: settings)
                            && !state.allowsFlow(to: address, $0, settings: settings)
                    }
                }
                let looks = state.revokesAccess(next.touched, since: before, learned: undo.learned, settings: settings)
                #expect(looks || !shut, "a flow that is no longer allowed is looked for")
                let names = try RandomPolicy.names.filter { next.touched.contains(try DomainName($0)) }
                let isTouched = !names.isEmpty || addresses.contains { next.touched.contains($0) }
                if case .some(_, _, let blocks) = next.touched, blocks.isEmpty, !isTouched { #expect(!looks) }
                if rules.isEmpty { #expect(!looks) }
                if Int.random(in: 0..<4) == 0 {
                    _ = try state.adopt(
                        undo.record, evaluator: undo.evaluator, restoring: undo.learned, kernel: kernel,
                        settings: settings)
                    check(state, kernel, known)
                    break
                }
            }
        }
    }

    @Test func `a rule that only opens has no flows looked for`() throws {
        var state = try state(Policy(defaultAction: .deny, rules: [Rule(action: .deny, text: "x.org")]))
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        func looks(_ change: PolicyChange) throws -> Bool {
            let before = state, next = state.evaluator.applying(change)
            var record = state.record
            record.policy = next.evaluator.policy
            let undo = try state.adopt(
                record, evaluator: next.evaluator, touched: next.touched, kernel: kernel, settings: settings)
            return state.revokesAccess(next.touched, since: before, learned: undo.learned, settings: settings)
        }
        #expect(try !looks(.merge([Rule(action: .allow, text: "a.com")])))
        #expect(try !looks(.merge([Rule(action: .allow, text: "198.51.100.0/24")])))
        #expect(try !looks(.merge([Rule(action: .deny, text: "a.com")])), "nothing was learned from it")
        #expect(try looks(.merge([Rule(action: .deny, text: "198.51.100.1")])))
        #expect(try !looks(.remove([RuleSelector("198.51.100.1")])))
        #expect(try !looks(.merge([Rule(action: .allow, text: "a.com")])))
        let opened = try state.learn(
            [.init(address: addresses[2], lifetime: 60)], from: DomainName("a.com"), kernel: kernel, settings: settings)
        #expect(opened == .opened)
        #expect(try !looks(.merge([Rule(action: .deny, text: "b.a.com")])))
        #expect(
            try looks(.merge([Rule(action: .allow, text: "a.com", scope: TrafficScope(ports: [443...443]))])))
        #expect(try looks(.remove([RuleSelector("a.com")])))
    }

    @Test func `a whole policy in the place of one that allowed nothing has no flows looked for`() throws {
        func looks(_ old: Policy, _ new: Policy) throws -> Bool {
            var state = try state(old)
            let kernel = InterpretedKernel()
            try kernel.install(state.ruleset, learned: [])
            let before = state, next = state.evaluator.applying(.replace(new))
            var record = state.record
            record.policy = next.evaluator.policy
            let undo = try state.adopt(
                record, evaluator: next.evaluator, touched: next.touched, kernel: kernel, settings: settings)
            return state.revokesAccess(next.touched, since: before, learned: undo.learned, settings: settings)
        }
        func rules(_ default: Action, _ rules: Rule...) -> Policy { Policy(defaultAction: `default`, rules: rules) }
        let opening = try rules(.deny, Rule(action: .allow, text: "a.com"))
        #expect(try !looks(.denyAll, opening))
        #expect(try !looks(rules(.deny, Rule(action: .deny, text: "a.com")), opening))
        #expect(try looks(opening, .denyAll))
        #expect(try looks(rules(.allow), opening))
        var observing = Policy.denyAll
        observing.mode = .observe
        #expect(try looks(observing, .denyAll))
        for _ in 0..<50 {
            let before = try state(RandomPolicy.make()), after = try state(RandomPolicy.make())
            let shut = addresses.contains { address in
                RandomPolicy.traffic.contains {
                    before.allowsFlow(to: address, $0, settings: settings)
                        && !after.allowsFlow(to: address, $0, settings: settings)
                }
            }
            let looks = after.revokesAccess(
                .everything, since: before, learned: before.learned, settings: settings)
            #expect(looks || !shut)
        }
    }

    @Test func `profiles that nothing uses make room for others`() throws {
        var state = try state(.denyAll)
        let kernel = InterpretedKernel(), name = try DomainName("a.com"), address = addresses[0]
        try kernel.install(state.ruleset, learned: [])
        for number in 1...(ProfileTable.capacity + 50) {
            var record = state.record
            let port = UInt16(number)
            record.policy.rules = [try Rule(action: .allow, text: "a.com", scope: TrafficScope(ports: [port...port]))]
            _ = try state.adopt(record, kernel: kernel, settings: settings)
            func learn() throws -> Learning {
                try state.learn(
                    [.init(address: address, lifetime: 60)], from: name, kernel: kernel, settings: settings)
            }
            if try learn() == .later {
                #expect(state.mustReinstall, "not on the thread of the names")
                try state.reinstall(now: 1000, kernel: kernel, settings: settings)
            }
            #expect(try learn() == .opened)
        }
        let installations = kernel.installations.withLock { $0 }
        #expect((2...4).contains(installations))
        check(state, kernel, [address: [name]])
    }

    @Test func `address rules that combine in too many ways are refused`() throws {
        var state = try state(.denyAll)
        let kernel = InterpretedKernel()
        try kernel.install(state.ruleset, learned: [])
        var record = state.record
        record.policy.rules = try (1...(ProfileTable.capacity + 1)).map {
            try Rule(
                action: .allow, text: "198.51.\($0 / 250).\($0 % 250)",
                scope: TrafficScope(ports: [UInt16($0)...UInt16($0)]))
        }
        #expect(throws: SandboxRuleset.noRoom) {
            try state.adopt(record, kernel: kernel, settings: settings)
        }
        check(state, kernel, [:])
    }
}
