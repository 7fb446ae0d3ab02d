import NetworkPolicy

/// An address that a name has taught, as it is or shall be in the kernel.
struct LearnedElement: Hashable, Sendable {
    var address: IPAddress
    /// Seconds until the kernel forgets it.
    var lifetime: UInt64
    /// `LearnedNames.encode`d names.
    var names: [UInt8]
    /// The number of its profile in the ruleset.
    var profile: UInt32
}

/// What becomes of an address in the kernel's maps of learned addresses.
struct LearnedChange: Hashable, Sendable {
    var address: IPAddress
    /// The profile with which it was put in, if its time may not be up yet.
    var before: UInt32?
    /// `nil` when it leaves.
    var after: LearnedElement?
}

/// A learned address as an earlier guard left it. What its profile was does not count: the policy judges it anew.
struct FoundElement: Hashable, Sendable {
    var address: IPAddress
    var lifetime: UInt64
    var names: [UInt8]
}

/// The kernel's side of one sandbox's guard. Every method is one atomic transaction, acknowledged by the kernel.
protocol KernelRules: AnyObject, Sendable {
    /// Replaces whatever table there is by this ruleset with these learned addresses.
    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError)
    /// Whether somebody else may have changed tables of the namespace since `install`. Cheap.
    func wasChangedByOthers() throws(EgressError) -> Bool
    /// Applies a change of policy, of learned addresses, or both.
    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError)
    /// What the kernel has learned; empty when there is no table.
    func learned() throws(EgressError) -> [FoundElement]
    /// Ends every flow from the sandbox for which `isRevoked` holds: conntrack entries and sockets.
    /// Returns how many of both. Never sees flows to loopback, nor those of the flow check.
    /// - Parameter forgettingNameQueries: whether the translations of DNS flows are forgotten, too, which lead to a port
    ///   that is no longer the filter's. Both are one walk through conntrack, of milliseconds.
    @discardableResult
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int
    /// Where flows of the sandbox go now. Never those to loopback.
    func liveDestinations() throws(EgressError) -> Set<IPAddress>
}

extension KernelRules {
    @discardableResult
    func cut(where isRevoked: (IPAddress, Traffic) -> Bool) throws(EgressError) -> Int {
        try cut(forgettingNameQueries: false, where: isRevoked)
    }
}
