import Addresses
import NetworkPolicy

/// One step of an nf_tables rule. A rule runs its steps in order and stops at the first that does not match.
public enum Expression: Hashable, Sendable {
    public enum Comparison: UInt32, Hashable, Sendable {
        case equal = 0
        case notEqual = 1
        case less = 2
        case lessOrEqual = 3
        case greater = 4
        case greaterOrEqual = 5
    }

    /// NFT_META_…
    public enum MetaKey: UInt32, Hashable, Sendable {
        case ethernetType = 1
        case priority = 2
        case mark = 3
        case inputName = 6
        case outputName = 7
        case socketUser = 10
        /// From the packet's route. A packet without a route does not match.
        case routeClass = 13
        case family = 15
        case transport = 16
    }

    public enum PayloadBase: UInt32, Hashable, Sendable {
        case network = 1
        case transport = 2
    }

    public enum Verdict: Hashable, Sendable {
        case accept, drop, `return`
        case jump(String)
        case goto(String)
    }

    public enum Rejection: Hashable, Sendable {
        case tcpReset
        /// ICMP or ICMPv6 "administratively prohibited".
        case prohibited
    }

    // Loads into the one register that this module uses.
    case meta(MetaKey)
    case payload(PayloadBase, offset: UInt32, length: UInt32)
    case connectionState
    /// `ct mark`
    case connectionMark
    /// `ct status`
    case connectionStatus
    /// The type of the destination address seen from this namespace (RTN_…).
    case destinationType
    /// The type of the source address seen from this namespace.
    case sourceType

    // Look at the register.
    case compare(Comparison, [UInt8])
    case mask([UInt8])
    case lookup(set: String, inverted: Bool)
    /// Puts what the map says of the register into the register.
    case map(String)
    /// Does what the map of verdicts says of the register.
    case verdictMap(String)

    // Count, and match when it is too much.
    /// More than `rate` packets a second, with `burst` at once.
    case packetsOver(rate: UInt64, burst: UInt32)
    /// The other way round: not more than `rate` packets a second, with `burst` at once.
    case packetsWithin(rate: UInt64, burst: UInt32)
    /// More connections at one time, of those that come to this rule.
    case connectionsOver(UInt32)
    /// More bytes in all, of the packets that come to this rule; `used` of them already.
    case bytesOver(UInt64, used: UInt64)

    // Act.
    case counter
    /// `log group GROUP prefix TEXT snaplen BYTES`: reports the packet to a `PacketLog`, if one listens.
    case log(group: UInt16, prefix: String, bytes: UInt32)
    case verdict(Verdict)
    case reject(Rejection)
    case redirect(port: UInt16)
    case masquerade
    /// `dnat to ADDRESS:PORT`: in the hooks prerouting and output, of packets of the address's family.
    case destinationTo(IPAddress, port: UInt16)
    /// `snat to ADDRESS`: in the hook postrouting, of packets of the address's family.
    case sourceTo(IPAddress)
    /// For marks and priorities.
    case setMeta(MetaKey, UInt32)
    /// `ct mark set NUMBER`
    case setConnectionMark(UInt32)
}

/// Parts of rules, named as in nft(8). Each first checks the address family or transport that it depends on.
extension [Expression] {
    private static func match(_ load: Expression, _ bytes: some Sequence<UInt8>) -> [Expression] {
        [load, .compare(.equal, [UInt8](bytes))]
    }

    /// `meta nfproto ipv4` or `ipv6`
    public static func family(isIPv4: Bool) -> [Expression] { match(.meta(.family), [isIPv4 ? 2 : 10]) }

    /// `meta l4proto NUMBER`
    public static func transport(_ number: UInt8) -> [Expression] { match(.meta(.transport), [number]) }

    /// `ip daddr @SET` or `ip6 daddr @SET`
    public static func destination(in set: String, isIPv4: Bool, inverted: Bool = false) -> [Expression] {
        family(isIPv4: isIPv4) + [
            .payload(.network, offset: isIPv4 ? 16 : 24, length: isIPv4 ? 4 : 16),
            .lookup(set: set, inverted: inverted),
        ]
    }

    /// `ip daddr map @MAP` or `ip6 daddr map @MAP`: the value is in the register afterwards.
    public static func destination(mappedBy map: String, isIPv4: Bool) -> [Expression] {
        family(isIPv4: isIPv4) + [
            .payload(.network, offset: isIPv4 ? 16 : 24, length: isIPv4 ? 4 : 16), .map(map),
        ]
    }

    /// `ip daddr vmap @MAP` or `ip6 daddr vmap @MAP`
    public static func destination(judgedBy map: String, isIPv4: Bool) -> [Expression] {
        family(isIPv4: isIPv4) + [
            .payload(.network, offset: isIPv4 ? 16 : 24, length: isIPv4 ? 4 : 16), .verdictMap(map),
        ]
    }

    /// `ip saddr @SET` or `ip6 saddr @SET`
    public static func source(in set: String, isIPv4: Bool, inverted: Bool = false) -> [Expression] {
        family(isIPv4: isIPv4) + [
            .payload(.network, offset: isIPv4 ? 12 : 8, length: isIPv4 ? 4 : 16), .lookup(set: set, inverted: inverted),
        ]
    }

    /// `ip daddr BLOCK` or `ip6 daddr BLOCK`
    public static func destination(_ block: CIDRBlock) -> [Expression] {
        address(block, offset: block.base.isIPv4 ? 16 : 24)
    }

    /// `ip saddr BLOCK` or `ip6 saddr BLOCK`
    public static func source(_ block: CIDRBlock) -> [Expression] { address(block, offset: block.base.isIPv4 ? 12 : 8) }

    private static func address(_ block: CIDRBlock, offset: UInt32) -> [Expression] {
        let width = block.base.bitWidth
        let mask = (0..<width / 8).map {
            UInt8(truncatingIfNeeded: 0xff00 >> Swift.max(0, Swift.min(8, block.prefixLength - 8 * $0)))
        }
        return family(isIPv4: block.base.isIPv4) + [
            .payload(.network, offset: offset, length: UInt32(width / 8)), .mask(mask),
            .compare(.equal, block.base.bytes),
        ]
    }

    /// `ip6 daddr & MASK == VALUE`
    public static func destination(_ value: IPv6Address, mask: IPv6Address) -> [Expression] {
        family(isIPv4: false) + [
            .payload(.network, offset: 24, length: 16), .mask(mask.bytes), .compare(.equal, value.bytes),
        ]
    }

    /// `meta mark NUMBER`
    public static func mark(_ mark: UInt32) -> [Expression] { match(.meta(.mark), NetlinkMessage.hostBytes(mark)) }

    /// `meta skuid NUMBER`: a packet without a socket does not match.
    public static func socketUser(_ user: UInt32) -> [Expression] {
        match(.meta(.socketUser), NetlinkMessage.hostBytes(user))
    }

    /// `meta priority NUMBER`
    public static func priority(_ priority: UInt32) -> [Expression] {
        match(.meta(.priority), NetlinkMessage.hostBytes(priority))
    }

    /// `meta protocol NUMBER`
    public static func ethernetType(_ number: UInt16) -> [Expression] {
        match(.meta(.ethernetType), NetlinkMessage.networkBytes(number))
    }

    /// `tcp dport PORT` or `udp dport PORT`
    public static func destinationPort(_ port: UInt16, transport number: UInt8) -> [Expression] {
        transport(number) + match(.payload(.transport, offset: 2, length: 2), NetlinkMessage.networkBytes(port))
    }

    /// `tcp dport FIRST-LAST` or `udp dport FIRST-LAST`
    public static func destinationPorts(_ ports: ClosedRange<UInt16>, transport number: UInt8) -> [Expression] {
        transport(number) + [
            .payload(.transport, offset: 2, length: 2),
            .compare(.greaterOrEqual, NetlinkMessage.networkBytes(ports.lowerBound)),
            .compare(.lessOrEqual, NetlinkMessage.networkBytes(ports.upperBound)),
        ]
    }

    /// `icmpv6 type NUMBER`
    public static func icmpv6(type: UInt8) -> [Expression] {
        family(isIPv4: false) + transport(IPProtocol.icmpv6) + match(.payload(.transport, offset: 0, length: 1), [type])
    }

    /// `tcp flags & (fin|syn|rst|ack) != syn`: anything but a connection's first segment.
    public static let notPlainSYN: [Expression] =
        transport(IPProtocol.tcp) + [
            .payload(.transport, offset: 13, length: 1), .mask([0x17]), .compare(.notEqual, [0x02]),
        ]

    /// `tcp flags & rst != 0`
    public static let reset: [Expression] =
        transport(IPProtocol.tcp) + [
            .payload(.transport, offset: 13, length: 1), .mask([0x04]), .compare(.notEqual, [0]),
        ]

    /// `ct state …`, any of the bits of `ConnectionState`.
    public static func connection(_ states: ConnectionState) -> [Expression] {
        [.connectionState, .mask(NetlinkMessage.hostBytes(states.rawValue)), .compare(.notEqual, [0, 0, 0, 0])]
    }

    /// `ct mark NUMBER`
    public static func connectionMark(_ mark: UInt32) -> [Expression] {
        match(.connectionMark, NetlinkMessage.hostBytes(mark))
    }

    /// `ct status dnat`: packets of both directions of connections whose destination was translated.
    public static let destinationTranslated: [Expression] = [
        .connectionStatus, .mask(NetlinkMessage.hostBytes(UInt32(1 << 5))), .compare(.notEqual, [0, 0, 0, 0]),
    ]

    /// `fib daddr type local`
    public static let toLocalAddress: [Expression] = match(.destinationType, NetlinkMessage.hostBytes(UInt32(2)))

    /// `fib saddr type != local`: a source that is not an address of this namespace.
    public static let fromForeignAddress: [Expression] = [
        .sourceType, .compare(.notEqual, NetlinkMessage.hostBytes(UInt32(2))),
    ]

    /// `iifname NAME`; a trailing `*` matches every name with that start.
    public static func input(_ name: String) -> [Expression] { interface(.meta(.inputName), name) }

    /// `oifname NAME`; a trailing `*` matches every name with that start.
    public static func output(_ name: String) -> [Expression] { interface(.meta(.outputName), name) }

    private static func interface(_ load: Expression, _ name: String) -> [Expression] {
        let wholeName = 16
        var bytes = [UInt8](name.utf8)
        // Comparing fewer bytes matches the beginning.
        if bytes.last == UInt8(ascii: "*") { return match(load, bytes.dropLast()) }
        bytes += [UInt8](repeating: 0, count: wholeName - bytes.count)
        return match(load, bytes)
    }
}

/// Conntrack's view of a packet (`ct state`).
public struct ConnectionState: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let invalid = ConnectionState(rawValue: 1)
    public static let established = ConnectionState(rawValue: 2)
    public static let related = ConnectionState(rawValue: 4)
    public static let new = ConnectionState(rawValue: 8)
}

/// IANA protocol numbers.
public enum IPProtocol {
    public static let icmp: UInt8 = 1
    public static let tcp: UInt8 = 6
    public static let udp: UInt8 = 17
    public static let icmpv6: UInt8 = 58
}
