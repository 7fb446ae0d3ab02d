import NetworkPolicy

/// An address that a name has taught, as it is or shall be in the kernel.
struct LearnedElement: Hashable, Sendable {
    var address: IPAddress
    /// Seconds until the kernel forgets it.
    var lifetime: UInt64
    /// `LearnedNames.encode`d names.
    var names: [UInt8]
}

/// The kernel's side of one sandbox's guard. Every method is one atomic transaction, acknowledged by the kernel.
protocol KernelRules: AnyObject, Sendable {
    /// Replaces whatever table there is by this ruleset with these learned addresses.
    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError)
    /// Applies a change of policy: the difference, with learned addresses forgotten and restored.
    func apply(_ difference: RulesetDifference, forgetting: [IPAddress], restoring: [LearnedElement])
        throws(EgressError)
    /// Adds learned addresses; the lifetime of those that are there already begins anew.
    func learn(_ elements: [LearnedElement]) throws(EgressError)
    /// What the kernel has learned; empty when there is no table.
    func learned() throws(EgressError) -> [LearnedElement]
    /// Ends every flow from the sandbox to an address for which `isRevoked` holds: conntrack entries and sockets.
    /// Returns how many of both. Never sees flows to loopback.
    @discardableResult
    func cut(where isRevoked: (IPAddress) -> Bool) throws(EgressError) -> Int
    /// Forgets the translations of DNS flows, which lead to a port that is no longer the filter's.
    func forgetNameQueries() throws(EgressError)
}
