import Addresses
import NetworkPolicy

/// Slow and obvious: walk the rules with one packet.
enum WalkingOracle {
    static func action(_ policy: Policy, name: DomainName?, address: IPAddress?, _ traffic: Traffic) -> Action {
        for rule in policy.rules where isAbout(rule, name: name, address: address) && isAbout(rule, traffic) {
            return rule.action
        }
        return policy.defaultAction
    }

    private static func isAbout(_ rule: Rule, name: DomainName?, address: IPAddress?) -> Bool {
        switch rule.target {
        case .name(let target): name == target
        case .wildcard(let zone): name.map { $0.description.hasSuffix("." + zone.description) } ?? false
        case .address(let block): address.map(block.contains) ?? false
        case .anyAddress: address != nil
        }
    }

    private static func isAbout(_ rule: Rule, _ traffic: Traffic) -> Bool {
        let ports = rule.scope.ports
        switch traffic {
        case .tcp(let port), .udp(let port):
            if !ports.isEmpty && !ports.contains(where: { $0.contains(port) }) { return false }
            guard let transport = rule.scope.transport, transport != .any else { return true }
            if case .tcp = traffic { return transport == .tcp }
            return transport == .udp
        case .icmp:
            if let transport = rule.scope.transport { return ports.isEmpty && [.icmp, .any].contains(transport) }
            switch rule.target {
            case .address, .anyAddress: return ports.isEmpty
            case .name, .wildcard: return ports.isEmpty && rule.action == .deny
            }
        case .other:
            if let transport = rule.scope.transport { return ports.isEmpty && transport == .any }
            return ports.isEmpty && rule.action == .deny
        }
    }
}

/// Small worlds, so that rules meet often.
enum RandomPolicy {
    static let names = ["a.com", "b.a.com", "c.b.a.com", "x.org", "y.org"]
    static let blocks = [
        "0.0.0.0/0", "198.51.0.0/16", "198.51.100.0/24", "198.51.100.128/25", "198.51.100.1", "255.255.255.255",
        "::/0", "2001:db8::/32", "2001:db8::/33", "2001:db8::1",
    ]
    static let ports: [UInt16] = [1, 22, 80, 81, 443, 444, 8000, 65535]

    static func scope() throws -> TrafficScope {
        let transport: TrafficScope.Transport? = [nil, nil, .tcp, .udp, .icmp, .any].randomElement()!
        guard transport != .icmp, Bool.random() else { return try TrafficScope(transport: transport, ports: []) }
        let ranges = (0..<Int.random(in: 1...3)).map { _ in
            let ends = [ports.randomElement()!, ports.randomElement()!].sorted()
            return ends[0]...ends[1]
        }
        return try TrafficScope(transport: transport, ports: ranges)
    }

    static func make() throws -> Policy {
        let rules = try (0..<Int.random(in: 0...8)).map { _ in
            let text = [names.randomElement()!, "*." + names.randomElement()!, blocks.randomElement()!, "*"]
                .randomElement()!
            let action = [Action.allow, .deny].randomElement()!
            let scope = Bool.random() && text != "*" ? .unstated : try scope()
            if text == "*", scope.isUnstated { return try Rule(action: action, text: "udp://*") }
            guard Bool.random() else { return try Rule(action: action, text: text, scope: scope) }
            return try Rule(action: action, text: "\(RuleTarget(RuleTarget(text).target, scope))")
        }
        return Policy(defaultAction: Bool.random() ? .allow : .deny, rules: rules)
    }

    static let traffic: [Traffic] =
        (ports + [0, 53, 82, 9000]).flatMap { [.tcp(port: $0), .udp(port: $0)] } + [.icmp, .other]
}
