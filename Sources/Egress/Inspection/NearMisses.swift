import NetworkPolicy

/// Rules that look as if they allowed something, and do not: what a reader of "denied by default" looks for next.
enum NearMisses {
    /// More would not be read.
    private static let most = 4

    /// One sentence for each such rule.
    /// - Parameters:
    ///   - name: a name that the policy denies.
    ///   - index: the rule that denies it; nil for the default action.
    static func hints(_ name: DomainName, _ scope: TrafficScope, _ policy: Policy, deniedBy index: Int?) -> [String] {
        var hints: [String] = []
        for (number, rule) in policy.rules.enumerated() where rule.action == .allow {
            guard let hint = hint(name, scope, rule, number, deniedBy: index) else { continue }
            hints.append("rule \(number), \(rule), " + hint)
            if hints.count == most { break }
        }
        return hints
    }

    private static func hint(
        _ name: DomainName, _ scope: TrafficScope, _ rule: Rule, _ number: Int, deniedBy index: Int?
    ) -> String? {
        switch rule.target {
        case .wildcard(name): return "does not include \(name) itself: allow \(name), too"
        case .name(let other) where name != other && name.isSubdomain(of: other):
            return "does not include names below \(other): allow \(name) or *.\(other)"
        case .name(name): break
        case .wildcard(let zone) where name.isSubdomain(of: zone): break
        case .name, .wildcard, .address, .anyAddress: return nil
        }
        if let index, index < number { return "comes too late: rule \(index) denies it first" }
        return scope.isUnstated ? nil : "does not open this port and protocol"
    }
}
