/// The name rules of a policy by name: one look-up per label of what is asked.
struct NameTable: Sendable {
    /// The rules that match a name.
    enum Entry: Sendable {
        /// One rule that states neither protocol nor ports: nearly every rule, so it takes no memory of its own.
        case plain(Int)
        indirect case scoped(TrafficMap<Int>)
    }

    /// What is said of one name: of itself, and of those below it.
    private struct Rules: Sendable {
        private var exact: Entry?
        private var below: Entry?

        subscript(below isBelow: Bool) -> Entry? {
            get { isBelow ? below : exact }
            set { if isBelow { below = newValue } else { exact = newValue } }
        }
    }

    private var index = NameIndex()
    /// By the numbers of `index`.
    private var entries: [Rules] = []
    private let policy: Policy

    init(_ policy: Policy) {
        self.policy = policy
        var several: [Target: [TrafficMap<Int>]] = [:]
        for (number, rule) in policy.rules.enumerated() {
            guard let (place, isBelow) = place(of: rule.target) else { continue }
            let entry: Entry = rule.scope.isUnstated ? .plain(number) : .scoped(rule.coverage(number))
            guard let present = entries[place][below: isBelow] else {
                entries[place][below: isBelow] = entry
                continue
            }
            // Nothing comes after a rule that denies everything.
            if case .plain(let first) = present, policy.rules[first].action == .deny { continue }
            several[rule.target, default: [Self.map(present, policy)]].append(Self.map(entry, policy))
        }
        for (target, maps) in several {
            guard let (place, isBelow) = place(of: target) else { continue }
            entries[place][below: isBelow] = .scoped(TrafficMap.first(of: maps[...]))
        }
    }

    /// Where the rules of a target stand; nil for an address.
    private mutating func place(of target: Target) -> (place: Int, isBelow: Bool)? {
        let (name, isBelow): (DomainName, Bool)
        switch target {
        case .name(let exact): (name, isBelow) = (exact, false)
        case .wildcard(let zone): (name, isBelow) = (zone, true)
        case .address: return nil
        }
        let place = index.insert(name)
        if place == entries.count { entries.append(Rules()) }
        return (place, isBelow)
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
        index.forEachKnown(atOrAbove: name) { number, isName in
            if let entry = entries[number][below: !isName] { body(entry) }
        }
    }
}
