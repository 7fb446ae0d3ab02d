/// What a client asks to be changed of a policy.
public enum PolicyChange: Hashable, Sendable {
    /// PUT and POST: another policy.
    case replace(Policy)
    /// PATCH: rules that come first (`Policy.merging`).
    case merge([Rule])
    /// DELETE: the rules that are named go.
    case remove([RuleSelector])
}

/// Where a change of a policy can have changed a decision.
public enum TouchedTargets: Sendable {
    case everything
    case some(names: Set<DomainName>, zones: Set<DomainName>, blocks: [CIDRBlock])

    /// - Returns: what the targets of a change are.
    init(_ targets: some Sequence<Target>) {
        var names: Set<DomainName> = [], zones: Set<DomainName> = [], blocks: [CIDRBlock] = []
        for target in targets {
            switch target {
            case .name(let name): names.insert(name)
            case .wildcard(let zone): zones.insert(zone)
            case .address, .anyAddress: blocks += target.blocks
            }
        }
        self = .some(names: names, zones: zones, blocks: blocks)
    }

    /// Whether what is decided of a name can be another than before.
    public func contains(_ name: DomainName) -> Bool {
        guard case .some(let names, let zones, _) = self else { return true }
        return names.contains(name) || zones.contains { name.isSubdomain(of: $0) }
    }

    /// Whether what is decided of an address without a name can be another than before.
    public func contains(_ address: IPAddress) -> Bool {
        guard case .some(_, _, let blocks) = self else { return true }
        return blocks.contains { $0.contains(address) }
    }
}
