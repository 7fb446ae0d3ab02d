/// The name rules of a policy by name: one look-up per label of what is asked.
struct NameTable: Sendable {
    /// The rules that match a name.
    enum Match {
        /// Only rules that state neither protocol nor ports: the first.
        case plain(Int)
        case scoped(TrafficMap<Int>)
    }

    private var exact: ShardedMap<DomainName, TargetEntry>
    private var below: ShardedMap<DomainName, TargetEntry>

    init(names: Int, zones: Int) {
        exact = ShardedMap(capacity: names)
        below = ShardedMap(capacity: zones)
    }

    /// The rules of exactly this name.
    subscript(name name: DomainName) -> TargetEntry? {
        get { exact[name] }
        set { exact[name] = newValue }
    }

    /// The rules of the wildcard with this base.
    subscript(zone zone: DomainName) -> TargetEntry? {
        get { below[zone] }
        set { below[zone] = newValue }
    }

    /// The rules as far as they say whether a name may be asked for: where all that match are plain, the first.
    func lookUp(_ name: DomainName, _ list: RuleList) -> Match? {
        var first: Int?
        var isPlain = true
        visit(name) { entry in
            if case .plain(let number) = entry { first = min(first ?? .max, number) } else { isPlain = false }
        }
        return isPlain ? first.map { .plain($0) } : .scoped(allRules(for: name, list))
    }

    /// Every rule that matches a name, joined.
    func allRules(for name: DomainName, _ list: RuleList) -> TrafficMap<Int> {
        var found: TrafficMap<Int>?
        visit(name) { entry in
            let rules = entry.map(list)
            found = found.map { $0.first(rules) } ?? rules
        }
        return found ?? TrafficMap(nil)
    }

    private func visit(_ name: DomainName, _ body: (TargetEntry) -> Void) {
        if let entry = exact[name] { body(entry) }
        guard !below.isEmpty else { return }
        // One array for all zones above the name, shorter with each: a name of its own for each would be an allocation.
        var wire = name.wire
        wire.removeFirst(1 + Int(wire[0]))
        while wire.count > 1 {
            if let entry = below[DomainName(canonical: wire)] { body(entry) }
            wire.removeFirst(1 + Int(wire[0]))
        }
    }
}
