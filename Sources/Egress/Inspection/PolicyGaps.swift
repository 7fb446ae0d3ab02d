import Addresses
import NetworkPolicy

/// Compares what a sandbox used with a policy that denies by default: which of its rules allowed something of it, and what no
/// rule speaks of. What a rule denies is left out.
struct PolicyGaps {
    /// Names of which no rule speaks, with the traffic to them.
    private(set) var names: [DomainName: UsedTraffic] = [:]
    /// The same of addresses that no name opens.
    private(set) var addresses: [IPAddress: UsedTraffic] = [:]
    /// The positions of rules that allowed something.
    private(set) var used: Set<Int> = []

    private let evaluator: PolicyEvaluator
    private let filter: AnswerFilter

    init(_ policy: Policy, _ operatorRules: [Rule], _ filter: AnswerFilter) {
        evaluator = PolicyEvaluator(policy, operatorRules: operatorRules)
        self.filter = filter
    }

    mutating func look(at use: SandboxUse) {
        var connected: Set<DomainName> = []
        for flow in use.flows {
            let resolved = use.resolved[flow.address] ?? []
            // A name does not open an address that the answer filter keeps from it.
            let opening = resolved.filter { filter.permits(flow.address, for: $0) }
            for name in opening where use.names.contains(name) {
                connected.insert(name)
                note(evaluator.evaluate(flow.address, learnedFrom: name, flow.traffic.question)) {
                    $0.names[name, default: UsedTraffic()].insert(flow.traffic)
                }
            }
            guard opening.isEmpty else { continue }
            note(evaluator.evaluate(flow.address, flow.traffic.question)) {
                $0.addresses[flow.address, default: UsedTraffic()].insert(flow.traffic)
            }
        }
        // No connection was seen: the name was asked for, so something uses it.
        for name in use.names where !connected.contains(name) {
            note(evaluator.evaluate(name)) { $0.names[name, default: UsedTraffic()].mayBeAny = true }
        }
    }

    private mutating func note(_ verdict: Verdict, missing: (inout PolicyGaps) -> Void) {
        switch verdict.reason {
        case .rule(let index, _): if verdict.isAllowed { used.insert(index) }
        case .defaultAction: missing(&self)
        case .operatorRule, .guardrail, .budget: break
        }
    }
}

/// The kinds of traffic that went to one target.
struct UsedTraffic: Hashable, Sendable {
    private var seen: Set<Traffic> = []
    /// Whether there may have been more than was seen.
    var mayBeAny = false

    mutating func insert(_ traffic: Traffic) { seen.insert(traffic) }

    mutating func join(_ other: UsedTraffic) {
        seen.formUnion(other.seen)
        mayBeAny = mayBeAny || other.mayBeAny
    }

    /// What rules have to state to allow it, and as little else as they can.
    var scopes: [TrafficScope] {
        if mayBeAny { return [.unstated] }
        // No rule states a protocol by its number.
        if seen.contains(.other) { return Self.scopes(.any) }
        var tcp: Set<UInt16> = [], udp: Set<UInt16> = []
        for traffic in seen {
            switch traffic {
            case .tcp(let port): tcp.insert(port)
            case .udp(let port): udp.insert(port)
            case .icmp, .other: break
            }
        }
        let icmp = seen.contains(.icmp) ? Self.scopes(.icmp) : []
        if tcp == udp, !tcp.isEmpty { return Self.scopes(nil, tcp) + icmp }
        return (tcp.isEmpty ? [] : Self.scopes(.tcp, tcp)) + (udp.isEmpty ? [] : Self.scopes(.udp, udp)) + icmp
    }

    /// As many as it takes: a rule has so many ports at most.
    private static func scopes(_ transport: TrafficScope.Transport?, _ ports: Set<UInt16> = []) -> [TrafficScope] {
        var ranges: [ClosedRange<UInt16>] = []
        for port in ports.sorted() where port > 0 {
            if let last = ranges.last, Int(last.upperBound) + 1 == Int(port) {
                ranges[ranges.count - 1] = last.lowerBound...port
            } else {
                ranges.append(port...port)
            }
        }
        let most = TrafficScope.maximumPorts
        // No range where the protocol has no ports.
        return stride(from: 0, to: max(1, ranges.count), by: most).map { start in
            let part = Array(ranges.dropFirst(start).prefix(most))
            return (try? TrafficScope(transport: transport, ports: part)) ?? .unstated
        }
    }
}

extension Traffic {
    /// The same as a question to a policy. Port 0 is no port of a rule.
    var question: TrafficScope {
        let stated: (TrafficScope.Transport, [ClosedRange<UInt16>]) =
            switch self {
            case .tcp(let port): (.tcp, port > 0 ? [port...port] : [])
            case .udp(let port): (.udp, port > 0 ? [port...port] : [])
            case .icmp: (.icmp, [])
            case .other: (.any, [])
            }
        return (try? TrafficScope(transport: stated.0, ports: stated.1)) ?? .unstated
    }
}
