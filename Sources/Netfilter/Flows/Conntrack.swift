import Addresses
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// A connection as conntrack knows it, seen from its first packet.
public struct Flow: Hashable, Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    /// IANA protocol number.
    public var transport: UInt8
    /// 0 where the transport has no ports.
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    /// The source of replies, which differs from `destination` if the packets are translated (NAT).
    public var replySource: IPAddress
    /// The connection's mark (`ct mark`); 0 where it has none.
    public var mark: UInt32 = 0
    /// Whether packets have gone both ways (IPS_SEEN_REPLY).
    public var isAnswered = false
}

/// The conntrack table of the namespace in which this was opened (ctnetlink).
public final class Conntrack: Sendable {
    private let socket: NetlinkSocket

    private static let getEntry: UInt16 = 1 << 8 | 1
    private static let deleteEntry: UInt16 = 1 << 8 | 2
    private static let getStatistics: UInt16 = 1 << 8 | 5

    private enum Attribute {
        static let original: UInt16 = 1
        static let reply: UInt16 = 2
        static let status: UInt16 = 3
        static let mark: UInt16 = 8
        static let identifier: UInt16 = 12
        static let zone: UInt16 = 18
        static let addresses: UInt16 = 1
        static let transport: UInt16 = 2
    }

    private static let seenReply: UInt32 = 1 << 1

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.netfilter) }

    /// `conntrack -L`
    public func flows() throws(NetfilterError) -> [Flow] { try entries().map(\.flow) }

    /// How many connections the namespace has. `conntrack -C`
    public func count() throws(NetfilterError) -> Int {
        let request = NetlinkMessage(
            type: Self.getStatistics, flags: NetlinkFlag.acknowledge, body: [UInt8(AF_UNSPEC), 0, 0, 0])
        let found = try socket.dump("counting conntrack entries", request) { reply -> Int? in
            guard let number = reply.attributes(after: 4)[1], number.count == 4 else { return nil }
            return Int(UInt32(bigEndian: number.number(at: 0, as: UInt32.self)))
        }
        guard let entries = found.first else { throw .unconfirmed(action: "counting conntrack entries") }
        return entries
    }

    /// Deletes the entries for which `isDoomed` holds. Their next packet is judged like the first of a new flow.
    /// `conntrack -D …`
    /// - Parameter before: called with these entries before they are deleted.
    /// - Returns: how many were deleted.
    @discardableResult
    public func delete(
        where isDoomed: (Flow) -> Bool, before: ([Flow]) throws(NetfilterError) -> Void = { _ in }
    ) throws(NetfilterError) -> Int {
        var count = 0
        let doomed = try entries().filter { isDoomed($0.flow) }
        guard !doomed.isEmpty else { return 0 }
        try before(doomed.map(\.flow))
        for entry in doomed {
            let family = UInt8(entry.flow.source.isIPv4 ? AF_INET : AF_INET6)
            var message = NetlinkMessage(
                type: Self.deleteEntry, flags: NetlinkFlag.acknowledge, body: [family, 0, 0, 0])
            message.attribute(Attribute.original | NetlinkFlag.nested, entry.original)
            if let identifier = entry.identifier { message.attribute(Attribute.identifier, identifier) }
            if let zone = entry.zone { message.attribute(Attribute.zone, zone) }
            do throws(NetfilterError) {
                try socket.perform("deleting a conntrack entry", [message])
                count += 1
            } catch {
                // It has ended by itself in the meantime.
                guard error.isNotFound else { throw error }
            }
        }
        return count
    }

    private struct Entry {
        var flow: Flow
        var original: [UInt8]
        var identifier: [UInt8]?
        var zone: [UInt8]?
    }

    private func entries() throws(NetfilterError) -> [Entry] {
        // A dump walks the hash table that all namespaces share, which takes milliseconds even if it is empty.
        guard try count() > 0 else { return [] }
        let request = NetlinkMessage(
            type: Self.getEntry, flags: NetlinkFlag.dump, body: [UInt8(AF_UNSPEC), 0, 0, 0])
        return try socket.dump("listing conntrack entries", request) { reply -> Entry? in
            let attributes = reply.attributes(after: 4)
            guard let original = attributes[Attribute.original], let reply = attributes[Attribute.reply],
                var flow = Self.flow(original, reply)
            else { return nil }
            if let mark = attributes[Attribute.mark], mark.count == 4 {
                flow.mark = UInt32(bigEndian: mark.number(at: 0, as: UInt32.self))
            }
            if let status = attributes[Attribute.status], status.count == 4 {
                flow.isAnswered = UInt32(bigEndian: status.number(at: 0, as: UInt32.self)) & Self.seenReply != 0
            }
            return Entry(
                flow: flow, original: Array(original), identifier: attributes[Attribute.identifier].map { Array($0) },
                zone: attributes[Attribute.zone].map { Array($0) })
        }
    }

    private static func flow(_ original: ArraySlice<UInt8>, _ reply: ArraySlice<UInt8>) -> Flow? {
        let there = NetlinkReply.attributes(original)
        guard let ends = addresses(original), let back = addresses(reply), let transport = there[Attribute.transport]
        else { return nil }
        let parts = NetlinkReply.attributes(transport)
        guard let number = parts[1]?.first else { return nil }
        func port(_ type: UInt16) -> UInt16 {
            parts[type].map { $0.count >= 2 ? UInt16(bigEndian: $0.number(at: 0, as: UInt16.self)) : 0 } ?? 0
        }
        return Flow(
            source: ends.source, destination: ends.destination, transport: number, sourcePort: port(2),
            destinationPort: port(3), replySource: back.source)
    }

    private static func addresses(_ tuple: ArraySlice<UInt8>) -> (source: IPAddress, destination: IPAddress)? {
        guard let nested = NetlinkReply.attributes(tuple)[Attribute.addresses] else { return nil }
        let parts = NetlinkReply.attributes(nested)
        // CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST
        guard let source = parts[1] ?? parts[3], let destination = parts[2] ?? parts[4],
            let from = IPAddress(bytes: source), let to = IPAddress(bytes: destination)
        else { return nil }
        return (from, to)
    }
}
