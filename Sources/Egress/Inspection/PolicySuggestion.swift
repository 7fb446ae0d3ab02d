import NetworkPolicy

/// The smallest policy that allows the names that a sandbox used.
struct PolicySuggestion: Hashable, Sendable {
    /// So many names in one zone are taken for a service that generates names, and become a wildcard.
    static let siblingsOfWildcard = 8

    var policy: Policy

    init(names: Set<DomainName>) {
        var children: [DomainName: Int] = [:]
        for name in names { if let parent = name.parent { children[parent, default: 0] += 1 } }
        let crowded = Set(
            children.filter { $0.value >= Self.siblingsOfWildcard && Self.mayBeWildcard($0.key) }.keys)
        // The outermost crowded zone covers all below it.
        let zones = crowded.filter { zone in !crowded.contains { zone.isSubdomain(of: $0) } }
        let single = names.filter { name in !zones.contains { name.isSubdomain(of: $0) } }
        let targets = single.map(Target.name) + zones.map(Target.wildcard)
        let sorted = targets.map { (Self.order($0), $0) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
        policy = Policy(defaultAction: .deny, rules: sorted.map { Rule(action: .allow, target: $0.1) })
    }

    /// Never a top-level domain, nor what looks like a registry's second level (`co.uk`, `com.au`), where anybody can
    /// register a name.
    private static func mayBeWildcard(_ zone: DomainName) -> Bool {
        let labels = zone.labels
        guard labels.count >= 2 else { return false }
        return labels.count > 2 || labels[1].count > 2 || labels[0].count > 3
    }

    /// Sorts names of one zone together, the zone first.
    private static func order(_ target: Target) -> [String] {
        switch target {
        case .name(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) }
        case .wildcard(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) } + ["*"]
        case .address, .anyAddress: [target.description]
        }
    }
}
