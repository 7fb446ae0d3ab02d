import Addresses
import NetworkPolicy

/// Rules that look as if they allowed something, and do not: what a reader of "denied by default" looks for next.
enum NearMisses {
    /// More would not be read.
    private static let most = 4

    /// One sentence for each such rule.
    /// - Parameters:
    ///   - name: a name that the policy denies.
    ///   - reason: why.
    static func hints(
        _ name: DomainName, _ scope: TrafficScope, _ policy: Policy, _ reason: Verdict.Reason
    ) -> [String] {
        hints(policy, reason) { rule, position in
            switch rule.target {
            case .wildcard(name): return "does not include \(name) itself: allow \(name), too"
            case .name(let other) where name != other && name.isSubdomain(of: other):
                return "does not include names below \(other): allow \(name) or *.\(other)"
            case .name(let other) where other.parent == name:
                return "does not include \(name), which is above it: allow \(name), too"
            case .name(name): break
            case .wildcard(let zone) where name.isSubdomain(of: zone): break
            case .name, .wildcard, .address, .anyAddress: return nil
            }
            return matching(scope, position, reason)
        }
    }

    /// The same of an address.
    static func hints(
        _ address: IPAddress, _ scope: TrafficScope, _ policy: Policy, _ reason: Verdict.Reason
    ) -> [String] {
        hints(policy, reason) { rule, position in
            switch rule.target {
            case .address(let block) where block.contains(address): matching(scope, position, reason)
            case .anyAddress: matching(scope, position, reason)
            case .name, .wildcard, .address: nil
            }
        }
    }

    /// Rules of one action that name an alias of a name, and not the name.
    static func hints(
        _ name: DomainName, ofAliases aliases: Set<DomainName>, _ action: Action, _ policy: Policy
    ) -> [String] {
        guard !aliases.isEmpty else { return [] }
        return hints(policy, of: action) { rule, _ in
            let named: DomainName? =
                switch rule.target {
                case .name(let other): aliases.contains(other) ? other : nil
                case .wildcard(let zone):
                    name.isSubdomain(of: zone)
                        ? nil : aliases.filter { $0.isSubdomain(of: zone) }.min { $0.comesBefore($1) }
                case .address, .anyAddress: nil
                }
            return named.map { "is about \($0), an alias of \(name): only the name that is asked for is judged" }
        }
    }

    /// A rule of the operator, or what no policy changes, leaves nothing to say of the policy's rules.
    private static func hints(
        _ policy: Policy, _ reason: Verdict.Reason, _ hint: (Rule, _ position: Int) -> String?
    ) -> [String] {
        switch reason {
        case .rule, .defaultAction: hints(policy, of: .allow, hint)
        case .operatorRule: ["the operator denies it: no rule of the policy changes that"]
        case .guardrail, .budget: []
        }
    }

    private static func hints(
        _ policy: Policy, of action: Action, _ hint: (Rule, _ position: Int) -> String?
    ) -> [String] {
        var hints: [String] = []
        for (position, rule) in policy.rules.enumerated() where rule.action == action {
            guard let hint = hint(rule, position) else { continue }
            hints.append("rule \(position), \(rule), " + hint)
            if hints.count == most { break }
        }
        return hints
    }

    /// Of a rule whose target matches.
    private static func matching(_ scope: TrafficScope, _ position: Int, _ reason: Verdict.Reason) -> String? {
        if case .rule(let index, _) = reason, index < position {
            return "comes too late: rule \(index) denies it first"
        }
        return scope.isUnstated ? nil : "does not open this port and protocol"
    }
}
