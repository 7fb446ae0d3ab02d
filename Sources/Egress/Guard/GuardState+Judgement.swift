import NetworkPolicy

/// What a guard's state says of addresses and flows.
extension EgressGuard.State {
    /// While a sandbox is observed, the policy is asked what it would say, and nothing is held to it.
    var isObserving: Bool { record.policy.mode == .observe }

    /// The address rules that the kernel has to carry out.
    var plan: AddressPlan {
        isObserving ? .open : evaluator.addressPlan
    }

    /// Whether the policy in force lets something of this name's address be reached.
    func allows(_ address: IPAddress, learnedFrom name: DomainName, settings: GuardSettings) -> Bool {
        if ruleset.isProtected(address) { return false }
        if isObserving { return true }
        return evaluator.allows(address, learnedFrom: name)
            && settings.filter.permits(address, for: name, policy: evaluator)
    }

    /// What names decide of an address that they share: what one of them allows is allowed; what one of them leaves to
    /// the address rules is left to them; the rest is denied.
    func actions(
        of address: IPAddress, names: some Sequence<DomainName>, settings: GuardSettings
    ) -> TrafficMap<Action> {
        if isObserving { return TrafficMap(nil) }
        var joined: TrafficMap<Action>?
        for name in names {
            var actions = evaluator.actions(of: address, learnedFrom: name)
            if !settings.filter.permits(address, for: name) { actions = actions.mapped { $0 == .allow ? nil : $0 } }
            joined = joined.map { $0.combined(with: actions, by: Self.mostOpen) } ?? actions
        }
        return joined ?? TrafficMap(nil)
    }

    private static func mostOpen(_ left: Action?, _ right: Action?) -> Action? {
        if left == .allow || right == .allow { return .allow }
        return left == nil || right == nil ? nil : .deny
    }

    /// Whether a flow may go on. An address is judged by every name it was ever learned from, as long as that is
    /// remembered: a flow may live longer than the record it came from.
    func allowsFlow(to address: IPAddress, _ traffic: Traffic, settings: GuardSettings) -> Bool {
        let learned = learned.entries[address].map { actions(of: address, names: $0.names.keys, settings: settings) }
        return ruleset.action(address, traffic, learned: learned) == .allow
    }
}
