import NetworkPolicy

/// One sandbox's say in its queries. Called on the DNS thread: nothing here may wait for a disk or another thread.
public protocol DNSPolicy: AnyObject, Sendable {
    /// Why the sandbox may not ask for a name; nil where it may.
    func refusal(_ name: DomainName, type: UInt16) -> Verdict?
    /// Asked once more of an allowed query that the cache does not answer: nil where it may go upstream.
    func refusalUpstream(_ name: DomainName, type: UInt16) -> Verdict?
    /// Whether the sandbox may be told an address of a name.
    func permits(_ address: IPAddress, for name: DomainName) -> Bool
    /// Opens the way to addresses before the sandbox is told them.
    func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Learning
    /// Hears what was answered: every refusal and failure, and every answer but one that went out before and stands.
    func record(_ event: DNSEvent)
    /// Becomes another number, never an earlier one, before anything that was said, learned or recorded would be otherwise
    /// now.
    var revision: UInt64 { get }
    /// Seconds for which `learn` of these, maybe none, would have nothing to do, the lifetimes going down meanwhile. An
    /// answer is given again within this time as long as the revision is the same, and nobody is asked. 0 to be asked
    /// each time.
    func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32
}

extension DNSPolicy {
    public var revision: UInt64 { 0 }
    public func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32 { 0 }
}

extension DNSPolicy {
    public func refusalUpstream(_ name: DomainName, type: UInt16) -> Verdict? { nil }
}

/// What became of addresses that a sandbox is to be told.
public enum Learning: Hashable, Sendable {
    case opened
    /// They stay shut: the sandbox gets SERVFAIL.
    case withheld
    /// A change of its policy is being carried out. To be asked again in a moment: the other sandboxes do not wait for it.
    case later
}

/// An address that a name resolved to.
public struct LearnedAddress: Hashable, Sendable {
    public var address: IPAddress
    /// Seconds that the record holds.
    public var lifetime: UInt32

    public init(address: IPAddress, lifetime: UInt32) {
        self.address = address
        self.lifetime = lifetime
    }
}

/// One query and what became of it.
public struct DNSEvent: Hashable, Sendable {
    public enum Outcome: Hashable, Sendable {
        /// From the cache or an upstream; how many addresses the filter took out.
        case answered(addresses: Int, removed: Int)
        case denied(Verdict)
        /// A type that is not forwarded.
        case typeRefused
        /// Why, and in words.
        case failed(DNSFailure, String)
    }

    public var name: DomainName
    public var type: UInt16
    public var outcome: Outcome
    /// Milliseconds for which it waited for the upstreams; nil where they were not asked.
    public var forwardTime: UInt64?

    public init(name: DomainName, type: UInt16, outcome: Outcome, forwardTime: UInt64? = nil) {
        self.name = name
        self.type = type
        self.outcome = outcome
        self.forwardTime = forwardTime
    }
}

/// Why an allowed query got no answer. The texts are the reference's where it has one.
public enum DNSFailure: String, Hashable, Sendable, CaseIterable {
    case noUpstreams = "no_upstreams"
    /// None answered in time, or none could be reached.
    case upstreamError = "upstream_error"
    /// They answered that they cannot say.
    case code = "rcode"
    /// Too many queries are waiting.
    case overload
    /// The kernel did not take the addresses.
    case notLearned = "not_learned"
}
