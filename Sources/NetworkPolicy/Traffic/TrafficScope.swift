/// A rule's protocol and ports.
public struct TrafficScope: Hashable, Sendable {
    public enum Transport: String, Hashable, Sendable, CaseIterable {
        case tcp, udp, icmp, any
    }

    /// Most entries of one rule's `ports`.
    public static let maximumPorts = 64

    /// Neither protocol nor ports given; what that means depends on the rule (`Rule.coverage`).
    public static let unstated = TrafficScope(transport: nil)

    public let transport: Transport?
    /// As written; empty for all ports. A rule with ports matches TCP and UDP, or the protocol that it names.
    public let ports: [ClosedRange<UInt16>]

    private init(transport: Transport?) {
        self.transport = transport
        ports = []
    }

    /// - Throws: `TrafficScopeError` for port 0, too many ports, and ports of ICMP, which has none.
    public init(transport: Transport? = nil, ports: [ClosedRange<UInt16>]) throws(TrafficScopeError) {
        if transport == .icmp, !ports.isEmpty { throw .portsOfICMP }
        guard ports.count <= Self.maximumPorts else { throw .tooManyPorts(ports.count) }
        guard ports.allSatisfy({ $0.lowerBound > 0 }) else { throw .invalidPort("0") }
        self.transport = transport
        self.ports = ports
    }

    public var isUnstated: Bool { transport == nil && ports.isEmpty }

    /// `value` for the traffic in this scope.
    /// - Parameter unstated: the protocols that an unstated scope stands for.
    func map<Value>(_ value: Value, unstated: [Transport]) -> TrafficMap<Value> {
        let nothing = PortMap<Value>(nil)
        let some = ports.isEmpty ? PortMap(value) : PortMap(value, ports: ports)
        let stated = transport.map { [$0] } ?? (ports.isEmpty ? unstated : [.tcp, .udp])
        let all = stated.contains(.any), hasPorts = !ports.isEmpty
        return TrafficMap(
            tcp: all || stated.contains(.tcp) ? some : nothing, udp: all || stated.contains(.udp) ? some : nothing,
            icmp: (all || stated.contains(.icmp)) && !hasPorts ? value : nil, other: all && !hasPorts ? value : nil)
    }

    /// Equal for scopes that mean the same, however their ports are written.
    var identity: TrafficMap<Bool> { map(true, unstated: []) }

    /// ` tcp 443,8000-8100`; empty if nothing is stated.
    var text: String {
        let texts = ports.map(Self.text)
        return (transport.map { " " + $0.rawValue } ?? "") + (texts.isEmpty ? "" : " " + texts.joined(separator: ","))
    }

    static func text(_ range: ClosedRange<UInt16>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    /// `443` or `8000-8100`: digits only, without leading zeros, from 1 to 65535, the smaller one first.
    public static func range(_ text: some StringProtocol) throws(TrafficScopeError) -> ClosedRange<UInt16> {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        let numbers = parts.compactMap { part -> UInt16? in
            guard part.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                part.utf8.first != UInt8(ascii: "0")
            else { return nil }
            return UInt16(part)
        }
        guard (1...2).contains(parts.count), numbers.count == parts.count,
            numbers[0] <= numbers[numbers.count - 1]
        else { throw .invalidPort(String(text)) }
        return numbers[0]...numbers[numbers.count - 1]
    }
}

/// Why ports or a protocol were refused.
public enum TrafficScopeError: Error, Hashable, Sendable, CustomStringConvertible {
    case invalidPort(String)
    /// Neither an integer nor a string.
    case notAPort
    case unknownProtocol(String)
    case portsOfICMP
    case noPorts
    case tooManyPorts(Int)

    public var description: String {
        switch self {
        case .invalidPort(let text):
            "invalid port \"\(text)\": use a number from 1 to 65535 or a range such as \"8000-8100\""
        case .notAPort: "a port must be a number from 1 to 65535, or a string with a number or a range"
        case .unknownProtocol(let text):
            "unknown protocol \"\(text)\": use \"tcp\", \"udp\", \"icmp\" or \"any\""
        case .portsOfICMP: "icmp has no ports: leave out ports, or name another protocol"
        case .noPorts: "ports is empty: leave it out to mean every port"
        case .tooManyPorts(let count): "\(count) ports; a rule may have \(TrafficScope.maximumPorts): use ranges"
        }
    }
}
