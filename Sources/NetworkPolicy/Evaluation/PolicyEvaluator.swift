import Synchronization

/// A policy made ready for evaluation. The DNS filter, the kernel's rules and every check ask this one, so they agree.
///
/// A name costs one look-up per label, an address one binary search, however many rules there are.
public final class PolicyEvaluator: Sendable {
    public let policy: Policy

    /// What holds although the sandbox is observed: the operator's rules alone. Nil where nothing does, or all.
    let enforcedWhileObserving: PolicyEvaluator?
    let names: NameTable
    let blocks: BlockTable
    var list: RuleList { policy.list }
    private let allowed = Mutex(AllowedNames())

    public init(_ policy: Policy) {
        self.policy = policy
        enforcedWhileObserving = Self.enforcedWhileObserving(of: policy)
        var byTarget: [Target: [RuleList.Numbered]] = [:]
        byTarget.reserveCapacity(policy.ruleCount)
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
        self.blocks = BlockTable(blocks, everywhere: everywhere, policy.list)
    }

    init(_ policy: Policy, names: NameTable, blocks: BlockTable) {
        self.policy = policy
        enforcedWhileObserving = Self.enforcedWhileObserving(of: policy)
        self.names = names
        self.blocks = blocks
    }

    /// The address rules for the kernel, whole.
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

    /// The verdict on asking for a name: allowed where any traffic to it is.
    public func evaluate(_ name: DomainName) -> Verdict {
        switch match(name) {
        // A rule without ports decides for all the traffic that makes a name worth asking for.
        case .plain(let index, _): verdict(index)
        case .scoped(let rules): summary(rules, of: .unstated)
        case nil: verdict(nil)
        }
    }

    /// The same where it denies; nil where it allows, as nearly always, for which no rule is looked at.
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

    /// The rule that decides whether a name may be asked for; nil where none speaks of it.
    public func rule(for name: DomainName) -> Rule? {
        if case .plain(let index, _)? = match(name) { return list[index] }
        guard case .rule(_, let rule) = evaluate(name).reason else { return nil }
        return rule
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
        if scope.isUnstated, !isCovered(address) { return evaluate(name) }
        return summary(rules(for: name).first(rules(for: address)), of: scope)
    }

    /// Whether `name` may be asked for and something of this address of its be reached.
    public func allows(_ address: IPAddress, learnedFrom name: DomainName) -> Bool {
        guard refusal(of: name) == nil else { return false }
        // Where no rule speaks of the address, that was all.
        return !isCovered(address) || evaluate(address, learnedFrom: name).isAllowed
    }

    /// What is decided of an address because `name` resolved to it. Nil where an address rule comes first, or none
    /// matches: there the address plan decides, as it does for an address without a name.
    public func actions(of address: IPAddress, learnedFrom name: DomainName) -> TrafficMap<Action> {
        rules(for: name).combined(with: rules(for: address)) { named, addressed in
            guard let named, named < addressed ?? .max else { return nil }
            return self.list[named].action
        }
    }

    /// Whether an address rule, and no earlier one against it, allows something of this very address.
    public func allowsByAddressRule(_ address: IPAddress) -> Bool {
        rules(for: address).values.contains { list[$0].action == .allow }
    }

    private func verdict(_ index: Int?) -> Verdict {
        guard let index else { return Verdict(action: policy.defaultAction, reason: .defaultAction) }
        let rule = list[index]
        return Verdict(action: rule.action, reason: .rule(list.position(of: index), rule))
    }

    /// Of the traffic that is asked for: the first rule that allows any, else the default where no rule speaks of some,
    /// else the first rule that denies.
    private func summary(_ rules: TrafficMap<Int>, of scope: TrafficScope) -> Verdict {
        let silence = Int.max
        let asked = scope.map(true, unstated: [.any])
        let found = rules.combined(with: asked) { $1 == nil ? nil : $0 ?? silence }.values
        if let allowing = found.filter({ $0 != silence && list[$0].action == .allow }).min() {
            return verdict(allowing)
        }
        return verdict(found.contains(silence) ? nil : found.min())
    }

    /// The rules that match a name.
    private func match(_ name: DomainName) -> NameTable.Match? {
        if let number = allowed.withLock({ $0[name] }) { return .plain(number, .allow) }
        let match = names.lookUp(name, list)
        if case .plain(let number, .allow)? = match { allowed.withLock { $0[name] = number } }
        return match
    }

    private func rules(for name: DomainName) -> TrafficMap<Int> { names.allRules(for: name, list) }

    /// Whether any rule speaks of an address.
    private func isCovered(_ address: IPAddress) -> Bool { blocks.covered.element(holding: address) != nil }

    private func rules(for address: IPAddress) -> TrafficMap<Int> {
        blocks.covered.element(holding: address)?.value ?? TrafficMap(nil)
    }
}

/// Names that were allowed lately, with the numbers of their rules: a query is judged, and counted, and a moment later each
/// address of its answer is judged, and every time the tables of a hundred thousand rules are far from the processor.
///
/// A table in which a later name takes an earlier one's place. It grows with use, to some 24 KiB with its names.
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
