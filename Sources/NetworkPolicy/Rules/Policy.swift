/// What a sandbox may reach: rules in order, the first that matches decides, and an action for the rest.
public struct Policy: Hashable, Sendable {
    public enum Mode: String, Hashable, Sendable {
        case enforce
        /// Everything passes that is not refused whatever a policy says; what would be denied is recorded.
        case observe
    }

    public var defaultAction: Action
    public var mode: Mode
    /// How many of its first rules are the operator's: they hold while the sandbox is observed, too. No part of its JSON.
    public var operatorRules = 0
    var list: RuleList

    /// In order. Reading them makes a list of all: `ruleCount` does not.
    public var rules: [Rule] {
        get { list.rules }
        set { list = RuleList(newValue) }
    }

    public var ruleCount: Int { list.count }

    public init(defaultAction: Action, rules: [Rule] = [], mode: Mode = .enforce) {
        self.defaultAction = defaultAction
        list = RuleList(rules)
        self.mode = mode
    }

    private func with(_ rules: [Rule]) -> Policy {
        Policy(defaultAction: defaultAction, rules: rules, mode: mode)
    }

    public static let denyAll = Policy(defaultAction: .deny)
    public static let allowAll = Policy(defaultAction: .allow)

    /// The policy with `patch` in front. A patch says everything about the targets that it names: existing rules of these
    /// go, whatever their ports, unless a target's text has ports itself (contract, egress API, PATCH /policy). Within the
    /// patch the first of rules with equal target, protocol and ports wins, so that one patch can give a target several ports.
    public func merging(_ patch: [Rule]) -> Policy {
        let named = RuleSelection(patch: patch)
        return with(Self.firsts(of: patch) + rules.filter { !named.contains($0) })
    }

    /// A patch without rules that a former one of it already says everything about.
    static func firsts(of patch: [Rule]) -> [Rule] {
        var seen: Set<RuleIdentity> = []
        return patch.filter { seen.insert(RuleIdentity($0)).inserted }
    }

    /// The policy without the rules that are named, and how many that took away.
    public func removing(_ selectors: [RuleSelector]) -> (policy: Policy, removed: Int) {
        let gone = RuleSelection(selectors)
        let kept = rules.filter { !gone.contains($0) }
        return (with(kept), ruleCount - kept.count)
    }
}
