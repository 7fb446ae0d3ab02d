/// The name rules of a policy by name: one look-up per label of what is asked.
struct NameTable: Sendable {
    /// The rules that match a name.
    enum Entry: Sendable {
        /// One rule that states neither protocol nor ports: nearly every rule, so it takes no memory of its own.
        case plain(Int)
        indirect case scoped(TrafficMap<Int>)
    }

    private var exact: [DomainName: Entry] = [:]
    private var below: [DomainName: Entry] = [:]
    private let policy: Policy

    init(_ policy: Policy) {
        self.policy = policy
        var several: [Target: [TrafficMap<Int>]] = [:]
        for (index, rule) in policy.rules.enumerated() {
            let entry: Entry = rule.scope.isUnstated ? .plain(index) : .scoped(rule.coverage(index))
            switch rule.target {
            case .name(let name): Self.add(entry, rule, &exact[name], &several, policy)
            case .wildcard(let name): Self.add(entry, rule, &below[name], &several, policy)
            case .address: continue
            }
        }
        for (target, maps) in several {
            let joined = Entry.scoped(TrafficMap.first(of: maps[...]))
            switch target {
            case .name(let name): exact[name] = joined
            case .wildcard(let name): below[name] = joined
            case .address: continue
            }
        }
    }

    private static func add(
        _ entry: Entry, _ rule: Rule, _ slot: inout Entry?, _ several: inout [Target: [TrafficMap<Int>]],
        _ policy: Policy
    ) {
        guard let present = slot else {
            slot = entry
            return
        }
        // Nothing comes after a rule that denies everything.
        if case .plain(let first) = present, policy.rules[first].action == .deny { return }
        several[rule.target, default: [map(present, policy)]].append(map(entry, policy))
    }

    private static func map(_ entry: Entry, _ policy: Policy) -> TrafficMap<Int> {
        switch entry {
        case .plain(let index): policy.rules[index].coverage(index)
        case .scoped(let map): map
        }
    }

    /// The rules as far as they say whether a name may be asked for: where all that match are plain, the first.
    func lookUp(_ name: DomainName) -> Entry? {
        var first: Int?
        var isPlain = true
        visit(name) { entry in
            if case .plain(let index) = entry { first = min(first ?? .max, index) } else { isPlain = false }
        }
        return isPlain ? first.map { .plain($0) } : allRules(for: name)
    }

    /// Every rule that matches a name, joined.
    func allRules(for name: DomainName) -> Entry? {
        var found: Entry?
        visit(name) { entry in
            found = found.map { .scoped(Self.map($0, policy).first(Self.map(entry, policy))) } ?? entry
        }
        return found
    }

    private func visit(_ name: DomainName, _ body: (Entry) -> Void) {
        if let entry = exact[name] { body(entry) }
        guard !below.isEmpty else { return }
        var ancestor = name.parent
        while let zone = ancestor {
            if let entry = below[zone] { body(entry) }
            ancestor = zone.parent
        }
    }
}
