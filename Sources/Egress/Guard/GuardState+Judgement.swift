import Addresses
import NetworkPolicy
import System

/// Verdicts on addresses and flows, from a guard's state.
extension EgressGuard.State {
    /// While a sandbox is observed, the policy's verdicts are recorded but not enforced.
    var isObserving: Bool { record.policy.mode == .observe }

    /// The address rules that the kernel has to enforce.
    var plan: AddressPlan { evaluator.enforcedPlan }

    /// Whether the policy in force allows any traffic to this address of the name.
    func allows(_ address: IPAddress, learnedFrom name: DomainName, settings: GuardSettings) -> Bool {
        if ruleset.protected.contains(address) { return false }
        if isObserving { return !evaluator.isEnforcedWhileObserving(address, learnedFrom: name) }
        return evaluator.allows(address, learnedFrom: name)
            && settings.filter.permits(address, for: name, policy: evaluator)
    }

    /// What several names decide for an address that they share: what one of them allows is allowed, what one leaves to
    /// the address rules is left to them, the rest is denied.
    func actions(
        of address: IPAddress, names: some Sequence<DomainName>, settings: GuardSettings
    ) -> TrafficMap<Action> {
        if isObserving { return TrafficMap(nil) }
        var joined: TrafficMap<Action>?
        for name in names {
            var actions = evaluator.actions(of: address, learnedFrom: name)
            if !settings.filter.permits(address, for: name) { actions = actions.mapped { $0 == .allow ? nil : $0 } }
            joined = joined.map { $0.combined(with: actions, by: Self.maxOpen) } ?? actions
        }
        return joined ?? TrafficMap(nil)
    }

    /// How the kernel treats traffic to an address of these names.
    func profile(
        of address: IPAddress, names: some Sequence<DomainName>, settings: GuardSettings
    ) -> Profile {
        let actions = actions(of: address, names: names, settings: settings)
        guard settings.flowCheck != nil, !isObserving else { return Profile(actions) }
        return Profile(
            checking: actions, alone: ruleset.actionsWithoutNames(address), uncheckedPorts: settings.uncheckedPorts)
    }

    private static func maxOpen(_ left: Action?, _ right: Action?) -> Action? {
        if left == .allow || right == .allow { return .allow }
        return left == nil || right == nil ? nil : .deny
    }

    /// Whether an open flow may go on. All names that the address was ever learned from count, as far as remembered,
    /// because a flow may outlive its record.
    func allowsFlow(to address: IPAddress, _ traffic: Traffic, settings: GuardSettings) -> Bool {
        let learned = learned.entries[address].map {
            profile(of: address, names: $0.names.keys, settings: settings).actions
        }
        return ruleset.action(address, traffic, learned: learned) == .allow
    }

    /// Whether an earlier state may have allowed flows that this one would not. Only then are flows searched for,
    /// because the kernel has to walk over those of the whole machine.
    /// - Parameter known: the addresses learned before the change.
    func revokesAccess(
        _ touched: TouchedTargets, since old: Self, learned known: LearnedAddresses, settings: GuardSettings
    ) -> Bool {
        guard case .some(_, _, let blocks) = touched else { return old.allowsAnything }
        if isObserving { return false }
        for (address, entry) in known.touched(by: touched) {
            let before = old.decided(address, entry, settings: settings)
            let after = decided(address, learned.entries[address], settings: settings)
            if Self.revokesAccess(before, after) { return true }
        }
        return blocks.contains { block in
            let range = block.range
            let parts = ruleset.blocks.elements(in: range) + old.ruleset.blocks.elements(in: range)
            // Verdicts are constant between these addresses, so one of each part is enough.
            let starts = Set([range.lowerBound] + parts.map(\.range.lowerBound))
                .union(parts.compactMap(\.range.upperBound.successor).filter(range.contains))
            return starts.contains {
                Self.revokesAccess(old.decided($0, nil, settings: settings), decided($0, nil, settings: settings))
            }
        }
    }

    /// Whether a flow may have begun under this policy. Not, for example, in a sandbox of a pool that waits.
    private var allowsAnything: Bool {
        isObserving || record.policy.defaultAction == .allow
            || (evaluator.operatorRules + record.policy.rules).contains { $0.action == .allow }
    }

    /// The actions for all traffic to an address.
    private func decided(
        _ address: IPAddress, _ entry: LearnedAddresses.Entry?, settings: GuardSettings
    ) -> TrafficMap<Action> {
        let planned = ruleset.planned(address).combined(with: TrafficMap(ruleset.defaultAction)) { $0 ?? $1 }
        guard let entry else { return planned }
        return actions(of: address, names: entry.names.keys, settings: settings).combined(with: planned) { $0 ?? $1 }
    }

    private static func revokesAccess(_ before: TrafficMap<Action>, _ after: TrafficMap<Action>) -> Bool {
        !before.combined(with: after) { $0 == .allow && $1 != .allow ? true : nil }.isEmpty
    }
}

/// Bounds what one sandbox can make the DNS thread do by addresses that many names share: with each name that is learned for
/// one, all of its names are judged anew. A zone's owner chooses how many names have how many addresses, and every other
/// sandbox waits meanwhile.
struct JudgementAllowance: Sendable {
    /// Names of an address that are free; most addresses never have more.
    static let free = 16
    /// Further names that may be judged per second: about 20 ms of a thread.
    static let perSecond = 4096

    private var limiter = RateLimiter(Rate(burst: UInt64(perSecond), refill: UInt64(perSecond), period: 1), now: 0)

    /// Whether an address with so many names may be judged now; if so, it is counted.
    /// - Parameter now: seconds.
    mutating func take(names: Int, now: UInt64) -> Bool {
        guard names > Self.free else { return true }
        // One address that has more names than that is judged, too, now and then.
        return limiter.take(UInt64(min(names - Self.free, Self.perSecond)), now: now)
    }
}
