#if canImport(Glibc)
    import Glibc
#endif

/// A policy's name rules, indexed by name. Matching a query takes one look-up per label.
struct NameTable: Sendable {
    /// The rules that match a name.
    enum Match {
        /// All matching rules state neither protocol nor ports: the first one, and its action.
        case plain(Int, Action)
        case scoped(TrafficMap<Int>)
    }

    private var exact: ShardedMap<DomainName, TargetEntry>
    private var below: ShardedMap<NameSuffix, TargetEntry>
    /// Bit n is set once a wildcard's base has had n labels. Other depths are skipped, so that a query for a name of a
    /// hundred labels does not cost a hundred look-ups.
    private var depths: UInt64 = 0

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
        get { below[NameSuffix(zone.wire)] }
        set {
            below[NameSuffix(zone.wire)] = newValue
            depths |= Self.depth(zone.labelCount)
        }
    }

    /// What decides whether a name may be asked for: the first rule if all matching rules are plain, else all of them.
    func lookUp(_ name: DomainName, _ list: RuleLayers) -> Match? {
        var first: (number: Int, action: Action)?
        var isPlain = true
        visit(name) { entry in
            guard case .plain(let number, let action) = entry else { return isPlain = false }
            if number < first?.number ?? .max { first = (number, action) }
        }
        return isPlain ? first.map { .plain($0.number, $0.action) } : .scoped(allRules(for: name, list))
    }

    /// All rules that match a name, joined.
    func allRules(for name: DomainName, _ list: RuleLayers) -> TrafficMap<Int> {
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
        var start = 0
        for labels in (1..<max(name.labelCount, 1)).reversed() {
            start += 1 + Int(name.wire[start])
            guard depths & Self.depth(labels) != 0, let entry = below[NameSuffix(name.wire, from: start)] else {
                continue
            }
            body(entry)
        }
    }

    private static func depth(_ labels: Int) -> UInt64 { 1 << UInt64(min(labels, 63)) }
}

/// The tail of a wire name from one of its labels on, used as a key: the zones above a name are looked up in place,
/// without allocating a name for each.
struct NameSuffix: Sharded {
    private let wire: [UInt8]
    private let start: UInt8

    init(_ wire: [UInt8], from start: Int = 0) {
        self.wire = wire
        self.start = UInt8(start)
    }

    private func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        wire.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[Int(start)...])) }
    }

    static func == (left: Self, right: Self) -> Bool {
        left.withBytes { left in
            right.withBytes { left.count == $0.count && memcmp(left.baseAddress!, $0.baseAddress!, left.count) == 0 }
        }
    }

    func hash(into hasher: inout Hasher) { withBytes { hasher.combine(bytes: $0) } }

    var shard: UInt { withBytes { DomainName.shard($0) } }
}
