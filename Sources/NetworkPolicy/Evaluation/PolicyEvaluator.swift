import Addresses
import Synchronization

/// A policy indexed for evaluation. The DNS filter, the kernel's rules and every check use this one evaluator, so they
/// cannot disagree.
///
/// A name takes one look-up per label and an address one binary search, however many rules there are.
public final class PolicyEvaluator: Sendable {
    /// The client's policy.
    public let policy: Policy
    /// The operator's rules and the policy's. The operator's come first and are enforced even while the sandbox is observed.
    let list: RuleLayers
    public var operatorRules: [Rule] { list.operators }

    /// What is enforced even while the sandbox is observed: the operator's rules. Nil where there are none, or the
    /// policy is enforced anyway.
    let enforcedWhileObserving: PolicyEvaluator?
    let names: NameTable
    let blocks: BlockTable
    private let allowed = Mutex(AllowedNames())

    /// - Parameter operatorRules: in front of the policy's, whatever becomes of these.
    public init(_ policy: Policy, operatorRules: [Rule] = []) {
        self.policy = policy
        list = RuleLayers(operators: operatorRules, client: policy.list)
        enforcedWhileObserving = Self.enforcedWhileObserving(of: policy, operatorRules)
        var byTarget: [Target: [RuleList.Numbered]] = [:]
        byTarget.reserveCapacity(operatorRules.count + policy.ruleCount)
        for item in list.numberedOperators { byTarget[item.rule.target, default: []].append(item) }
        for item in policy.list.numbered { byTarget[item.rule.target, default: []].append(item) }
        var names = NameTable(names: byTarget.count, zones: 0)
        var blocks: [(CIDRBlock, TargetEntry)] = [], everywhere: TargetEntry?
        for (target, rules) in byTarget {
            switch target {
            case .name(let name): names[name: name] = TargetEntry(rules)
            case .wildcard(let zone): names[zone: zone] = TargetEntry(rules)
            case .address(let block): blocks.append((block, TargetEntry(rules)))
            case .anyAddress: everywhere = TargetEntry(rules)
            }
        }
        self.names = names
        self.blocks = BlockTable(blocks, everywhere: everywhere, list)
    }

    init(_ policy: Policy, operatorRules: [Rule], names: NameTable, blocks: BlockTable) {
        self.policy = policy
        list = RuleLayers(operators: operatorRules, client: policy.list)
        enforcedWhileObserving = Self.enforcedWhileObserving(of: policy, operatorRules)
        self.names = names
        self.blocks = blocks
    }

    /// All address rules, for the kernel.
    public var addressPlan: AddressPlan {
        AddressPlan(defaultAction: policy.defaultAction, blocks: plan(blocks.covered.elements))
    }

    /// The part of the address plan inside a block.
    public func addressPlan(in block: CIDRBlock) -> [AddressPlan.Block] {
        plan(blocks.covered.elements(in: block.range))
    }

    private func plan(_ covered: [RangeTable<TrafficMap<Int>>.Element]) -> [AddressPlan.Block] {
        var joined: [AddressPlan.Block] = []
        for item in covered {
            let actions = item.value.mapped { self.list[$0].action }
            if let last = joined.last, last.actions == actions, last.range.upperBound.successor == item.range.lowerBound
            {
                joined[joined.count - 1].range = last.range.lowerBound...item.range.upperBound
            } else {
                joined.append(AddressPlan.Block(range: item.range, actions: actions))
            }
        }
        return joined
    }

    /// The verdict on a query for a name: allowed if any traffic to the name is.
    public func evaluate(_ name: DomainName) -> Verdict {
        switch match(name) {
        // A rule without ports decides for all traffic.
        case .plain(let index, _): verdict(index)
        case .scoped(let rules): summary(rules, of: .unstated)
        case nil: verdict(nil)
        }
    }

    /// The verdict if it denies; nil if it allows, which is the usual case and needs no look at the rule itself.
    public func refusal(of name: DomainName) -> Verdict? {
        let verdict: Verdict
        switch match(name) {
        case .plain(_, .allow): return nil
        case .plain(let index, .deny): verdict = self.verdict(index)
        case .scoped(let rules): verdict = summary(rules, of: .unstated)
        case nil: verdict = self.verdict(nil)
        }
        return verdict.isAllowed ? nil : verdict
    }

    /// The rule that decides on a query for a name; nil if none matches.
    public func rule(for name: DomainName) -> Rule? {
        switch match(name) {
        case .plain(let index, _): list[index]
        case .scoped(let rules): deciding(rules, of: .unstated).map { list[$0] }
        case nil: nil
        }
    }

    /// The verdict on traffic to a name whose address no address rule matches: allowed if any of this traffic is. An
    /// unstated scope means all traffic.
    public func evaluate(_ name: DomainName, _ scope: TrafficScope) -> Verdict {
        summary(rules(for: name), of: scope)
    }

    /// The verdict on traffic to an address that was not learned from a name.
    public func evaluate(_ address: IPAddress, _ scope: TrafficScope = .unstated) -> Verdict {
        summary(rules(for: address), of: scope)
    }

    /// The verdict on traffic to an address that `name` resolved to: the first rule that matches either decides.
    public func evaluate(
        _ address: IPAddress, learnedFrom name: DomainName, _ scope: TrafficScope = .unstated
    ) -> Verdict {
        // Usually no address rule matches; then it is the name's verdict, without joining maps.
        if scope.isUnstated, !isCovered(address) { return evaluate(name) }
        return summary(rules(for: name).first(rules(for: address)), of: scope)
    }

    /// Whether `name` may be asked for and any traffic to this address of it is allowed.
    public func allows(_ address: IPAddress, learnedFrom name: DomainName) -> Bool {
        guard refusal(of: name) == nil else { return false }
        // Usually no address rule matches, and the name decides.
        return !isCovered(address) || evaluate(address, learnedFrom: name).isAllowed
    }

    /// What `name` decides for an address that it resolved to. Nil for traffic where an address rule comes first or no
    /// rule matches: there the address plan decides, as for an address without a name.
    public func actions(of address: IPAddress, learnedFrom name: DomainName) -> TrafficMap<Action> {
        rules(for: name).combined(with: rules(for: address)) { named, addressed in
            guard let named, named < addressed ?? .max else { return nil }
            return self.list[named].action
        }
    }

    /// Whether an address rule allows any traffic to this address, and no earlier rule denies it.
    public func allowsByAddressRule(_ address: IPAddress) -> Bool {
        rules(for: address).values.contains { list[$0].action == .allow }
    }

    private func verdict(_ index: Int?) -> Verdict {
        guard let index else { return Verdict(action: policy.defaultAction, reason: .defaultAction) }
        let rule = list[index]
        let reason: Verdict.Reason =
            list.isOperators(index) ? .operatorRule(rule) : .rule(list.client.position(of: index), rule)
        return Verdict(action: rule.action, reason: reason)
    }

    private func summary(_ rules: TrafficMap<Int>, of scope: TrafficScope) -> Verdict {
        verdict(deciding(rules, of: scope))
    }

    /// The number of the rule that decides; nil for the default action. For the traffic in question: the first rule that allows any of it, else the default action if no rule covers
    /// some of it, else the first rule that denies.
    private func deciding(_ rules: TrafficMap<Int>, of scope: TrafficScope) -> Int? {
        let silence = Int.max
        let asked = scope.map(true, unstated: [.any])
        let found = rules.combined(with: asked) { $1 == nil ? nil : $0 ?? silence }.values
        if let allowing = found.filter({ $0 != silence && list[$0].action == .allow }).min() {
            return allowing
        }
        return found.contains(silence) ? nil : found.min()
    }

    /// The rules that match a name.
    private func match(_ name: DomainName) -> NameTable.Match? {
        if let number = allowed.withLock({ $0[name] }) { return .plain(number, .allow) }
        let match = names.lookUp(name, list)
        if case .plain(let number, .allow)? = match { allowed.withLock { $0[name] = number } }
        return match
    }

    private func rules(for name: DomainName) -> TrafficMap<Int> { names.allRules(for: name, list) }

    /// Whether any address rule matches an address.
    private func isCovered(_ address: IPAddress) -> Bool { blocks.covered.element(holding: address) != nil }

    private func rules(for address: IPAddress) -> TrafficMap<Int> {
        blocks.covered.element(holding: address)?.value ?? TrafficMap(nil)
    }
}

/// Recently allowed names with the numbers of their rules. One query needs its name judged several times in a row (the
/// query, the budget, each address of the answer), and with a hundred thousand rules each look-up in the full tables
/// misses the processor's caches.
///
/// A fixed-size table where a newer name replaces an older one in its slot. It grows with use to about 24 KiB, names
/// included.
private struct AllowedNames {
    private static let capacity = 256
    private var slots: [(name: DomainName, number: Int?)] = []

    subscript(name: DomainName) -> Int? {
        get {
            guard !slots.isEmpty else { return nil }
            let place = place(of: name)
            return slots[place].name == name ? slots[place].number : nil
        }
        set {
            if slots.isEmpty { slots = Array(repeating: (.root, nil), count: 4) }
            if slots[place(of: name)].number != nil, slots.count < Self.capacity {
                slots = Array(repeating: (.root, nil), count: 4 * slots.count)
            }
            let place = place(of: name)
            slots[place].name.copy(name)
            slots[place].number = newValue
        }
    }

    private func place(of name: DomainName) -> Int { Int(name.shard & UInt(slots.count - 1)) }
}
