extension PolicyEvaluator {
    /// An evaluator of another policy, and where it can decide otherwise.
    public struct Successor: Sendable {
        public var evaluator: PolicyEvaluator
        public var touched: TouchedTargets
        /// How many rules are no longer there.
        public var removed: Int
    }

    /// The evaluator of the changed policy. What the change does not name is shared with this one: merging and removing
    /// cost what they name, not what there is.
    public func applying(_ change: PolicyChange) -> Successor {
        switch change {
        case .replace(let policy):
            Successor(evaluator: PolicyEvaluator(policy), touched: .everything, removed: self.policy.ruleCount)
        case .merge(let patch): replacing(patch.map(\.target), by: Policy.firsts(of: patch))
        case .remove(let targets): replacing(targets, by: [])
        }
    }

    /// - Parameter rules: of these targets; they come first.
    private func replacing(_ targets: [Target], by rules: [Rule]) -> Successor {
        var policy = policy, names = names, blocks = blocks
        let targets = Set(targets)
        var removed = 0
        for target in targets {
            for number in entry(target)?.numbers ?? [] {
                policy.list.remove(number)
                removed += 1
            }
        }
        var byTarget: [Target: [RuleList.Numbered]] = [:]
        for (number, rule) in zip(policy.list.prepend(rules), rules) {
            byTarget[rule.target, default: []].append(RuleList.Numbered(place: number, rule: rule))
        }
        for target in targets {
            let entry = byTarget[target].map { TargetEntry($0) }
            switch target {
            case .name(let name): names[name: name] = entry
            case .wildcard(let zone): names[zone: zone] = entry
            case .address: continue
            }
        }
        blocks.set(
            targets.compactMap { target in
                guard case .address(let block) = target else { return nil }
                return (block, byTarget[target].map { TargetEntry($0) })
            }, policy.list)
        return Successor(
            evaluator: PolicyEvaluator(policy, names: names, blocks: blocks), touched: TouchedTargets(targets),
            removed: removed)
    }

    private func entry(_ target: Target) -> TargetEntry? {
        switch target {
        case .name(let name): names[name: name]
        case .wildcard(let zone): names[zone: zone]
        case .address(let block): blocks[block]
        }
    }
}
