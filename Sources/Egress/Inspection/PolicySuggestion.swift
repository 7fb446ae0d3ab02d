import NetworkPolicy

/// The smallest policy that lets the names pass that a sandbox was seen to use.
struct PolicySuggestion: Hashable, Sendable {
    /// So many names beside each other are taken for one service that makes names up as it goes.
    static let siblingsOfWildcard = 8

    var policy: Policy

    init(names: Set<DomainName>) {
        var children: [DomainName: Int] = [:]
        for name in names { if let parent = name.parent { children[parent, default: 0] += 1 } }
        let crowded = Set(
            children.filter { $0.value >= Self.siblingsOfWildcard && Self.mayBeWildcard($0.key) }.keys)
        // The outermost crowded zone stands for all that is below it.
        let zones = crowded.filter { zone in !crowded.contains { zone.isSubdomain(of: $0) } }
        let single = names.filter { name in !zones.contains { name.isSubdomain(of: $0) } }
        let targets = single.map(Target.name) + zones.map(Target.wildcard)
        let sorted = targets.map { (Self.order($0), $0) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
        policy = Policy(defaultAction: .deny, rules: sorted.map { Rule(action: .allow, target: $0.1) })
    }

    /// Never a whole top-level domain, nor what looks like a registry's second level (`co.uk`, `com.au`): below those,
    /// anybody can have a name.
    private static func mayBeWildcard(_ zone: DomainName) -> Bool {
        let labels = zone.labels
        guard labels.count >= 2 else { return false }
        return labels.count > 2 || labels[1].count > 2 || labels[0].count > 3
    }

    /// Names of one zone stand together, the zone first.
    private static func order(_ target: Target) -> [String] {
        switch target {
        case .name(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) }
        case .wildcard(let name): name.labels.reversed().map { String(decoding: $0, as: UTF8.self) } + ["*"]
        case .address, .anyAddress: [target.description]
        }
    }
}
