/// What a sandbox may reach: rules in order, the first that matches decides, and an action for the rest.
public struct Policy: Hashable, Sendable {
    public var defaultAction: Action
    public var rules: [Rule]

    public init(defaultAction: Action, rules: [Rule] = []) {
        self.defaultAction = defaultAction
        self.rules = rules
    }

    public static let denyAll = Policy(defaultAction: .deny)
    public static let allowAll = Policy(defaultAction: .allow)

    /// The policy with `patch` in front: the first of equal targets wins, and replaces an existing rule of its target
    /// (contract, egress API, PATCH /policy).
    public func merging(_ patch: [Rule]) -> Policy {
        var seen: Set<Target> = []
        let front = patch.filter { seen.insert($0.target).inserted }
        return Policy(defaultAction: defaultAction, rules: front + rules.filter { !seen.contains($0.target) })
    }

    /// The policy without the rules of these targets, and how many rules that took away.
    public func removing(_ targets: [Target]) -> (policy: Policy, removed: Int) {
        let gone = Set(targets)
        let kept = rules.filter { !gone.contains($0.target) }
        return (Policy(defaultAction: defaultAction, rules: kept), rules.count - kept.count)
    }
}
