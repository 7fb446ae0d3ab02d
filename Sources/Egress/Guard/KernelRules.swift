import Addresses
import NetworkPolicy

/// A learned address as stored in the kernel.
package struct LearnedElement: Hashable, Sendable {
    var address: IPAddress
    /// Seconds until the kernel removes it.
    var lifetime: UInt64
    /// `LearnedNames.encode`d names.
    var names: [UInt8]
    /// The number of its profile in the ruleset.
    var profile: UInt32
}

/// A change of one address in the kernel's maps of learned addresses.
package struct LearnedChange: Hashable, Sendable {
    var address: IPAddress
    /// Its profile in the kernel, if it may still be there.
    var before: UInt32?
    /// `nil` to remove it.
    var after: LearnedElement?
}

/// A learned address left by an earlier guard. Its profile is ignored, since the policy judges it again.
package struct FoundElement: Hashable, Sendable {
    var address: IPAddress
    var lifetime: UInt64
    var names: [UInt8]
}

/// The kernel part of one sandbox's guard. Every method is one atomic transaction that the kernel has acknowledged.
package protocol KernelRules: AnyObject, Sendable {
    /// Replaces the table, if any, with this ruleset and these learned addresses.
    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError)
    /// Whether another program may have changed tables of the namespace since `install`. Cheap.
    func wasChangedByOthers() throws(EgressError) -> Bool
    /// Applies a change of policy, of learned addresses, or both.
    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError)
    /// The learned addresses in the kernel; empty if there is no table.
    func learned() throws(EgressError) -> [FoundElement]
    /// Ends every flow from the sandbox for which `isRevoked` holds: conntrack entries and sockets. Returns how many.
    /// Flows to loopback and those of the flow check are not considered.
    /// - Parameter forgettingNameQueries: whether to delete the NAT entries of DNS flows as well, which lead to a port
    ///   that the filter no longer has. Both take one walk through conntrack, of milliseconds.
    @discardableResult
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int
    /// Where the sandbox's flows go that conntrack knows, without loopback and what the guard itself sends.
    func liveFlows() throws(EgressError) -> Set<LiveFlow>
}

/// Where a flow goes.
package struct LiveFlow: Hashable, Sendable {
    var address: IPAddress
    var traffic: Traffic
    /// Whether anything came back. Who only tries an address does not use it.
    var isAnswered = true
}

extension KernelRules {
    func liveDestinations() throws(EgressError) -> Set<IPAddress> { Set(try liveFlows().map(\.address)) }

    @discardableResult
    func cut(where isRevoked: (IPAddress, Traffic) -> Bool) throws(EgressError) -> Int {
        try cut(forgettingNameQueries: false, where: isRevoked)
    }
}
