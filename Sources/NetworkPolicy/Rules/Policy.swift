/// What a sandbox may reach: an ordered list of rules, of which the first match decides, and a default action.
public struct Policy: Hashable, Sendable {
    public enum Mode: String, Hashable, Sendable {
        case enforce
        /// Everything passes but what guardrails refuse; what the policy would deny is recorded.
        case observe
    }

    public var defaultAction: Action
    public var mode: Mode
    /// Whether it is the operator's, given to a sandbox that was created without one, and no client has changed it since.
    public var isDefault = false
    var list: RuleList

    /// In order. Reading this copies all rules; `ruleCount` does not.
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

    /// Another policy, which is no longer the operator's.
    private func with(_ rules: [Rule]) -> Policy {
        Policy(defaultAction: defaultAction, rules: rules, mode: mode)
    }

    public static let denyAll = Policy(defaultAction: .deny)
    public static let allowAll = Policy(defaultAction: .allow)

    /// The policy with `patch` in front (docs/wire.md#policy). A patch replaces all existing rules of the targets that
    /// it names, whatever their ports; if a target's text has ports itself, only the rules with those ports. Of rules
    /// in the patch with equal target, protocol and ports the first wins, so one patch can give a target several ports.
    public func merging(_ patch: [Rule]) -> Policy {
        let named = RuleSelection(patch: patch)
        return with(Self.firsts(of: patch) + rules.filter { !named.contains($0) })
    }

    /// The patch without rules that an earlier one in it makes redundant.
    static func firsts(of patch: [Rule]) -> [Rule] {
        var seen: Set<RuleIdentity> = []
        return patch.filter { seen.insert(RuleIdentity($0)).inserted }
    }

    /// The policy without the selected rules, and how many were removed.
    public func removing(_ selectors: [RuleSelector]) -> (policy: Policy, removed: Int) {
        let gone = RuleSelection(selectors)
        let kept = rules.filter { !gone.contains($0) }
        return (kept.count == ruleCount ? self : with(kept), ruleCount - kept.count)
    }
}
