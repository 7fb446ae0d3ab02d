import Addresses

extension PolicyEvaluator {
    /// The evaluator of a changed policy, and the targets whose verdicts may differ.
    public struct Successor: Sendable {
        public var evaluator: PolicyEvaluator
        public var touched: TouchedTargets
        /// How many rules were removed.
        public var removed: Int
    }

    /// The evaluator of the changed policy. Everything that the change does not name is shared with this evaluator, so
    /// merging and removing cost as much as the change, not as the policy.
    public func applying(_ change: PolicyChange) -> Successor {
        switch change {
        case .replace(let policy):
            Successor(
                evaluator: PolicyEvaluator(policy, operatorRules: operatorRules), touched: .everything,
                removed: self.policy.ruleCount)
        case .merge(let patch): replacing(RuleSelection(patch: patch), by: Policy.firsts(of: patch))
        case .remove(let selectors): replacing(RuleSelection(selectors), by: [])
        }
    }

    /// The evaluator of the same policy behind other rules of the operator.
    public func replacing(operatorRules: [Rule]) -> Successor {
        Successor(evaluator: PolicyEvaluator(policy, operatorRules: operatorRules), touched: .everything, removed: 0)
    }

    /// - Parameter rules: rules to put before all others of the client.
    private func replacing(_ selection: RuleSelection, by rules: [Rule]) -> Successor {
        var policy = policy, names = names
        let leaving = numbers(of: selection)
        var touched = Set(rules.map(\.target))
        for number in leaving {
            touched.insert(list[number].target)
            policy.list.remove(number)
        }
        if !leaving.isEmpty || !rules.isEmpty { policy.isDefault = false }
        var byTarget: [Target: [RuleList.Numbered]] = [:]
        for (number, rule) in zip(policy.list.prepend(rules), rules) {
            byTarget[rule.target, default: []].append(RuleList.Numbered(place: number, rule: rule))
        }
        let layers = RuleLayers(operators: operatorRules, client: policy.list)
        var changed: [(CIDRBlock, TargetEntry?)] = [], everywhere: TargetEntry??
        for target in touched {
            let kept = (entry(target)?.numbers ?? []).filter { !leaving.contains($0) }
                .map { RuleList.Numbered(place: $0, rule: list[$0]) }
            let (first, last) = (kept.prefix { list.isOperators($0.place) }, kept.drop { list.isOperators($0.place) })
            let all = first + (byTarget[target] ?? []) + last
            let entry = all.isEmpty ? nil : TargetEntry(Array(all))
            switch target {
            case .name(let name): names[name: name] = entry
            case .wildcard(let zone): names[zone: zone] = entry
            case .address(let block): changed.append((block, entry))
            case .anyAddress: everywhere = .some(entry)
            }
        }
        var blocks = blocks
        blocks.set(changed, everywhere: everywhere, layers)
        return Successor(
            evaluator: PolicyEvaluator(policy, operatorRules: operatorRules, names: names, blocks: blocks),
            touched: TouchedTargets(touched), removed: leaving.count)
    }

    /// The numbers of the selected rules. The operator's are none of the client's business.
    private func numbers(of selection: RuleSelection) -> Set<Int> {
        var found: Set<Int> = []
        for target in selection.places {
            found.formUnion(
                (entry(target)?.numbers ?? []).filter { !list.isOperators($0) && selection.contains(list[$0]) })
        }
        // Removing a preset's rules is rare, so there is no index for it: look at every rule.
        if !selection.presets.isEmpty {
            for item in policy.list.numbered where selection.contains(item.rule) { found.insert(item.place) }
        }
        return found
    }

    private func entry(_ target: Target) -> TargetEntry? {
        switch target {
        case .name(let name): names[name: name]
        case .wildcard(let zone): names[zone: zone]
        case .address(let block): blocks[block]
        case .anyAddress: blocks.everywhere
        }
    }
}
