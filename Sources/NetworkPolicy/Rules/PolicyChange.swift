import Addresses

/// A change of a policy that a client asks for.
public enum PolicyChange: Hashable, Sendable {
    /// PUT and POST: replaces the policy.
    case replace(Policy)
    /// PATCH: puts rules in front (`Policy.merging`).
    case merge([Rule])
    /// DELETE: removes the selected rules.
    case remove([RuleSelector])
}

/// The targets for which a change may have changed the verdict.
public enum TouchedTargets: Sendable {
    case everything
    case some(names: Set<DomainName>, zones: Set<DomainName>, blocks: [CIDRBlock])

    /// - Returns: the targets that a change names.
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

    /// Whether the verdict on a name may have changed.
    public func contains(_ name: DomainName) -> Bool {
        guard case .some(let names, let zones, _) = self else { return true }
        return names.contains(name) || zones.contains { name.isSubdomain(of: $0) }
    }

    /// Whether the verdict on an address, without a name, may have changed.
    public func contains(_ address: IPAddress) -> Bool {
        guard case .some(_, _, let blocks) = self else { return true }
        return blocks.contains { $0.contains(address) }
    }
}
