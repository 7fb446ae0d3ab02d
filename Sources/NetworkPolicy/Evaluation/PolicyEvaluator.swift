/// A policy made ready for evaluation. The DNS filter, the kernel's rules and every check ask this one, so they agree.
///
/// A name costs one look-up per label, an address one binary search, however many rules there are.
public final class PolicyEvaluator: Sendable {
    public let policy: Policy
    public let addressPlan: AddressPlan

    private let exact: [DomainName: Int]
    private let below: [DomainName: Int]
    private let blocks: [RangedRule]

    public init(_ policy: Policy) {
        self.policy = policy
        var exact: [DomainName: Int] = [:]
        var below: [DomainName: Int] = [:]
        var blocks: [(ClosedRange<IPAddress>, Int)] = []
        for (index, rule) in policy.rules.enumerated() {
            switch rule.target {
            case .name(let name): if exact[name] == nil { exact[name] = index }
            case .wildcard(let name): if below[name] == nil { below[name] = index }
            case .address(let block): blocks.append((block.range, index))
            }
        }
        self.exact = exact
        self.below = below
        self.blocks = RangedRule.flatten(blocks)
        addressPlan = AddressPlan(self.blocks, policy: policy)
    }

    /// The verdict on asking for a name.
    public func evaluate(_ name: DomainName) -> Verdict {
        verdict(firstRule(name))
    }

    /// The verdict on a flow to an address that no name has taught.
    public func evaluate(_ address: IPAddress) -> Verdict {
        verdict(firstRule(address))
    }

    /// The verdict on a flow to an address that `name` resolved to: the first rule that matches either decides.
    public func evaluate(_ address: IPAddress, learnedFrom name: DomainName) -> Verdict {
        switch (firstRule(name), firstRule(address)) {
        case (let left?, let right?): verdict(min(left, right))
        case (let only?, nil), (nil, let only?): verdict(only)
        case (nil, nil): verdict(nil)
        }
    }

    /// Whether an address rule, and no earlier one against it, allows this very address.
    public func allowsByAddressRule(_ address: IPAddress) -> Bool {
        firstRule(address).map { policy.rules[$0].action == .allow } ?? false
    }

    private func verdict(_ index: Int?) -> Verdict {
        guard let index else { return Verdict(action: policy.defaultAction, reason: .defaultAction) }
        let rule = policy.rules[index]
        return Verdict(action: rule.action, reason: .rule(index, rule))
    }

    private func firstRule(_ name: DomainName) -> Int? {
        var first = exact[name]
        guard !below.isEmpty else { return first }
        var ancestor = name.parent
        while let zone = ancestor {
            if let index = below[zone], index < first ?? .max { first = index }
            ancestor = zone.parent
        }
        return first
    }

    private func firstRule(_ address: IPAddress) -> Int? {
        // The last range that starts at or before the address is the only one that can hold it: they are disjoint.
        var low = 0, high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].range.lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, blocks[low - 1].range.contains(address) else { return nil }
        return blocks[low - 1].rule
    }
}
