/// A policy made ready for evaluation. The DNS filter, the kernel's rules and every check ask this one, so they agree.
///
/// A name costs one look-up per label, an address one binary search, however many rules there are.
public final class PolicyEvaluator: Sendable {
    public let policy: Policy
    public let addressPlan: AddressPlan

    private let names: NameTable
    private let blocks: [CoveredRange]

    public init(_ policy: Policy) {
        self.policy = policy
        names = NameTable(policy)
        blocks = CoveredRange.flatten(
            policy.rules.enumerated().compactMap { index, rule in
                guard case .address(let block) = rule.target else { return nil }
                return (block, rule.coverage(index))
            })
        addressPlan = AddressPlan(blocks, policy: policy)
    }

    /// The verdict on asking for a name: allowed where any traffic to it is.
    public func evaluate(_ name: DomainName) -> Verdict {
        switch names.lookUp(name) {
        // A rule without ports decides for all the traffic that makes a name worth asking for.
        case .plain(let index): verdict(index)
        case .scoped(let rules): summary(rules, of: .unstated)
        case nil: verdict(nil)
        }
    }

    /// The verdict on some traffic to a name that resolved to an address of which no rule speaks: allowed where any of
    /// this traffic is. A scope that states nothing is all traffic; one protocol and port is one verdict.
    public func evaluate(_ name: DomainName, _ scope: TrafficScope) -> Verdict {
        summary(rules(for: name), of: scope)
    }

    /// The verdict on traffic to an address that no name has taught.
    public func evaluate(_ address: IPAddress, _ scope: TrafficScope = .unstated) -> Verdict {
        summary(rules(for: address), of: scope)
    }

    /// The verdict on traffic to an address that `name` resolved to: the first rule that matches either decides.
    public func evaluate(
        _ address: IPAddress, learnedFrom name: DomainName, _ scope: TrafficScope = .unstated
    ) -> Verdict {
        // Where no rule speaks of the address, it is the name's verdict: nearly always, and without joining maps.
        if scope.isUnstated, block(of: address) == nil { return evaluate(name) }
        return summary(rules(for: name).first(rules(for: address)), of: scope)
    }

    /// Whether `name` may be asked for and something of this address of its be reached.
    public func allows(_ address: IPAddress, learnedFrom name: DomainName) -> Bool {
        guard evaluate(name).isAllowed else { return false }
        // Where no rule speaks of the address, that was all.
        return block(of: address) == nil || evaluate(address, learnedFrom: name).isAllowed
    }

    /// What is decided of an address because `name` resolved to it. Nil where an address rule comes first, or none
    /// matches: there the address plan decides, as it does for an address without a name.
    public func actions(of address: IPAddress, learnedFrom name: DomainName) -> TrafficMap<Action> {
        rules(for: name).combined(with: rules(for: address)) { named, addressed in
            guard let named, named < addressed ?? .max else { return nil }
            return self.policy.rules[named].action
        }
    }

    /// Whether an address rule, and no earlier one against it, allows something of this very address.
    public func allowsByAddressRule(_ address: IPAddress) -> Bool {
        rules(for: address).values.contains { policy.rules[$0].action == .allow }
    }

    private func verdict(_ index: Int?) -> Verdict {
        guard let index else { return Verdict(action: policy.defaultAction, reason: .defaultAction) }
        let rule = policy.rules[index]
        return Verdict(action: rule.action, reason: .rule(index, rule))
    }

    /// Of the traffic that is asked for: the first rule that allows any, else the default where no rule speaks of some,
    /// else the first rule that denies.
    private func summary(_ rules: TrafficMap<Int>, of scope: TrafficScope) -> Verdict {
        let silence = Int.max
        let asked = scope.map(true, unstated: [.any])
        let found = rules.combined(with: asked) { $1 == nil ? nil : $0 ?? silence }.values
        if let allowing = found.filter({ $0 != silence && policy.rules[$0].action == .allow }).min() {
            return verdict(allowing)
        }
        return verdict(found.contains(silence) ? nil : found.min())
    }

    private func rules(for name: DomainName) -> TrafficMap<Int> {
        switch names.allRules(for: name) {
        case .plain(let index)?: policy.rules[index].coverage(index)
        case .scoped(let rules)?: rules
        case nil: TrafficMap(nil)
        }
    }

    private func rules(for address: IPAddress) -> TrafficMap<Int> {
        block(of: address)?.rules ?? TrafficMap(nil)
    }

    private func block(of address: IPAddress) -> CoveredRange? {
        // The last range that starts at or before the address is the only one that can hold it: they are disjoint.
        var low = 0, high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].range.lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, blocks[low - 1].range.contains(address) else { return nil }
        return blocks[low - 1]
    }
}
