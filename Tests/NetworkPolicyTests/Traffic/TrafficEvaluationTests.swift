import Addresses
import NetworkPolicy
import Testing

@Suite struct TrafficEvaluationTests {
    private let addresses = [
        "198.51.100.1", "198.51.100.129", "198.51.7.7", "203.0.113.9", "255.255.255.255", "2001:db8::1",
        "2001:db8:8000::1", "2001:db9::",
    ].map { IPAddress($0)! }

    private func scope(_ traffic: Traffic) throws -> TrafficScope? {
        switch traffic {
        case .tcp(let port) where port > 0: try TrafficScope(transport: .tcp, ports: [port...port])
        case .udp(let port) where port > 0: try TrafficScope(transport: .udp, ports: [port...port])
        case .icmp: try TrafficScope(transport: .icmp, ports: [])
        default: nil
        }
    }

    @Test func `names, addresses and plans agree with walking the rules, for every kind of traffic`() throws {
        for _ in 0..<300 {
            let policy = try RandomPolicy.make()
            let evaluator = PolicyEvaluator(policy)
            let name = try DomainName(RandomPolicy.names.randomElement()!), address = addresses.randomElement()!
            let block = evaluator.addressPlan.blocks.first { $0.range.contains(address) }
            let named = evaluator.actions(of: address, learnedFrom: name)
            var open = (name: false, address: false, both: false)
            for traffic in RandomPolicy.traffic {
                let raw = WalkingOracle.action(policy, name: nil, address: address, traffic)
                let both = WalkingOracle.action(policy, name: name, address: address, traffic)
                let alone = WalkingOracle.action(policy, name: name, address: nil, traffic)
                #expect(block?.actions[traffic] ?? policy.defaultAction == raw)
                #expect(named[traffic] ?? block?.actions[traffic] ?? policy.defaultAction == both)
                open = (open.name || alone == .allow, open.address || raw == .allow, open.both || both == .allow)
                guard let scope = try scope(traffic) else { continue }
                #expect(evaluator.evaluate(address, scope).action == raw)
                #expect(evaluator.evaluate(address, learnedFrom: name, scope).action == both)
                #expect(evaluator.evaluate(name, scope).action == alone)
            }
            #expect(evaluator.evaluate(name).isAllowed == open.name, "a name may be asked for where any traffic may go")
            #expect(evaluator.evaluate(address).isAllowed == open.address)
            #expect(evaluator.evaluate(address, learnedFrom: name).isAllowed == open.both)
        }
    }

    @Test func `the verdict names the rule that decided`() throws {
        let policy = Policy(
            defaultAction: .deny,
            rules: [
                try Rule(action: .deny, text: "a.com", scope: TrafficScope(ports: [25...25])),
                try Rule(action: .allow, text: "*.com"), try Rule(action: .allow, text: "a.com"),
            ])
        let evaluator = PolicyEvaluator(policy), name = try DomainName("a.com")
        #expect("\(evaluator.evaluate(name))" == "allowed by rule allow *.com")
        #expect(
            "\(evaluator.evaluate(name, try TrafficScope(transport: .tcp, ports: [25...25])))"
                == "denied by rule deny a.com 25")
        #expect(
            "\(evaluator.evaluate(name, try TrafficScope(transport: .icmp, ports: [])))" == "denied by default")
    }

    @Test func `a thousand rules for one name are joined in a moment`() throws {
        let rules = try (1...4000).map {
            try Rule(action: .allow, text: "a.com", scope: TrafficScope(ports: [UInt16($0 * 2)...UInt16($0 * 2)]))
        }
        let evaluator = PolicyEvaluator(Policy(defaultAction: .deny, rules: rules))
        let actions = evaluator.actions(of: IPAddress("198.51.100.1")!, learnedFrom: try DomainName("a.com"))
        #expect(actions[.tcp(port: 8000)] == .allow && actions[.udp(port: 7999)] == nil)
        #expect(actions.tcp.ranges.count == 4000)
    }
}
