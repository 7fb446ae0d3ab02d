/// The kind of a packet, as far as rules distinguish it.
public enum Traffic: Hashable, Sendable {
    case tcp(port: UInt16)
    case udp(port: UInt16)
    /// ICMP over IPv4, ICMPv6 over IPv6.
    case icmp
    /// Any other IP protocol.
    case other
}

/// A value for each kind of traffic, or nil where none is set.
public struct TrafficMap<Value: Hashable & Sendable>: Hashable, Sendable {
    public var tcp: PortMap<Value>
    public var udp: PortMap<Value>
    public var icmp: Value?
    public var other: Value?

    public init(tcp: PortMap<Value>, udp: PortMap<Value>, icmp: Value? = nil, other: Value? = nil) {
        self.tcp = tcp
        self.udp = udp
        self.icmp = icmp
        self.other = other
    }

    /// The same value for all traffic.
    public init(_ value: Value?) { self.init(tcp: PortMap(value), udp: PortMap(value), icmp: value, other: value) }

    public subscript(traffic: Traffic) -> Value? {
        switch traffic {
        case .tcp(let port): tcp[port]
        case .udp(let port): udp[port]
        case .icmp: icmp
        case .other: other
        }
    }

    /// Whether no traffic has a value.
    public var isEmpty: Bool { self == TrafficMap(nil) }

    /// Every value that occurs; some more than once.
    public var values: [Value] {
        tcp.ranges.map(\.value) + udp.ranges.map(\.value) + [icmp, other].compactMap(\.self)
    }

    /// Combines two maps, one kind of traffic at a time.
    public func combined<Other, Result>(
        with other: TrafficMap<Other>, by choose: (Value?, Other?) -> Result?
    ) -> TrafficMap<Result> {
        TrafficMap<Result>(
            tcp: tcp.combined(with: other.tcp, by: choose), udp: udp.combined(with: other.udp, by: choose),
            icmp: choose(icmp, other.icmp), other: choose(self.other, other.other))
    }

    /// The map with its values transformed; nil removes one.
    public func mapped<Result>(_ transform: (Value) -> Result?) -> TrafficMap<Result> {
        combined(with: TrafficMap<Value>(nil)) { value, _ in value.flatMap(transform) }
    }
}

extension TrafficMap where Value == Int {
    /// The smaller number for each kind of traffic: of two maps to rule numbers, the rule that comes first.
    func first(_ other: Self) -> Self {
        combined(with: other) { left, right in
            guard let left, let right else { return left ?? right }
            return min(left, right)
        }
    }

    /// The smallest number of many maps. Combined in halves, so n maps with different ports cost n log n, not n².
    static func first(of maps: ArraySlice<Self>) -> Self {
        guard maps.count > 1 else { return maps.first ?? Self(nil) }
        let middle = maps.startIndex + maps.count / 2
        return first(of: maps[..<middle]).first(first(of: maps[middle...]))
    }
}
