import Addresses
import NetworkPolicy

/// What the DNS filter asks about one sandbox. Called on the DNS thread, so no method may wait for a disk or for
/// another thread.
public protocol DNSPolicy: AnyObject, Sendable {
    /// Why the sandbox may not ask for a name; nil where it may.
    func refusal(_ name: DomainName, type: UInt16) -> Verdict?
    /// Why a query that the policy allows and the cache cannot answer may not go upstream (a budget); nil where it may.
    func refusalUpstream(_ name: DomainName, type: UInt16) -> Verdict?
    /// Whether an address of a name may be in this sandbox's answer.
    func permits(_ address: IPAddress, for name: DomainName) -> Bool
    /// Opens addresses in the kernel. Called before the answer that contains them is sent.
    func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Learning
    /// Called for every refusal, failure and answer, except for an approved answer that is repeated.
    func record(_ event: DNSEvent)
    /// Increases before the result of any method here may change. An answer that was approved under the present number
    /// can therefore be repeated without asking again.
    var revision: UInt64 { get }
    /// For how many seconds from now the kernel keeps these addresses open without another `learn`. Within that time,
    /// and while `revision` is the same, the answer may be repeated without asking. 0: ask every time. `addresses` may
    /// be empty.
    func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32
}

extension DNSPolicy {
    public var revision: UInt64 { 0 }
    public func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32 { 0 }
}

extension DNSPolicy {
    public func refusalUpstream(_ name: DomainName, type: UInt16) -> Verdict? { nil }
}

/// The result of `learn`.
public enum Learning: Hashable, Sendable {
    case opened
    /// They could not be opened: the sandbox gets SERVFAIL.
    case withheld
    /// The sandbox's policy is being changed. Try again in a moment, and serve other sandboxes meanwhile.
    case later
}

/// An address that a name resolved to.
public struct LearnedAddress: Hashable, Sendable {
    public var address: IPAddress
    /// The record's TTL in seconds.
    public var lifetime: UInt32

    public init(address: IPAddress, lifetime: UInt32) {
        self.address = address
        self.lifetime = lifetime
    }
}

/// One query and its outcome.
public struct DNSEvent: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        /// Answered, from the cache or an upstream; `removed` is how many addresses the answer filter took out.
        case answered(addresses: Int, removed: Int)
        case denied(Verdict)
        /// A type that is not forwarded.
        case typeRefused
        /// The kind of failure, and its description.
        case failed(DNSFailure, String)
    }

    public var name: DomainName
    public var type: UInt16
    public var outcome: Outcome
    /// Milliseconds that it waited for upstreams; nil where none was asked.
    public var forwardTime: UInt64?
    /// Of an answer: the names (CNAME) by way of which it came to its addresses, in order.
    public var aliases: [DomainName]
    /// Of an answer: addresses that the answer filter took out, the first few.
    public var removed: [IPAddress]

    public init(
        name: DomainName, type: UInt16, outcome: Outcome, forwardTime: UInt64? = nil, aliases: [DomainName] = [],
        removed: [IPAddress] = []
    ) {
        self.name = name
        self.type = type
        self.outcome = outcome
        self.forwardTime = forwardTime
        self.aliases = aliases
        self.removed = removed
    }
}

/// Why an allowed query got no answer. The raw values are metric labels, the reference's where it has one.
public enum DNSFailure: String, Hashable, Sendable, CaseIterable {
    case noUpstreams = "no_upstreams"
    /// None answered in time, or none could be reached.
    case upstreamError = "upstream_error"
    /// They answered with an error code.
    case code = "rcode"
    /// Too many queries are waiting.
    case overload
    /// The kernel did not accept the addresses.
    case notLearned = "not_learned"
}
