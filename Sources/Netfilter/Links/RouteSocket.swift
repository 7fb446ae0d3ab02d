import Addresses
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// Links, addresses and routes of the namespace in which this was opened (rtnetlink(7)). Each method names the
/// equivalent `ip` command.
public final class RouteSocket: Sendable {
    private let socket: NetlinkSocket

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.route) }

    /// `ip link set lo up`
    public func setLoopbackUp() throws(NetfilterError) { try setUp(index: 1, "lo") }

    /// Creates a veth pair with one end here and the other in another namespace, both with given hardware addresses.
    /// `ip link add NAME type veth peer name PEER netns NS`
    public func addVirtualPair(
        _ name: String, address: [UInt8], peer: String, peerAddress: [UInt8], peerNamespace: NetworkNamespace,
        mtu: UInt32? = nil
    ) throws(NetfilterError) {
        let descriptor = open(peerNamespace.path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("opening \(peerNamespace.path)") }
        defer { close(descriptor) }
        var message = Self.link(.newLink, flags: NetlinkFlag.create | NetlinkFlag.exclusive)
        message.attribute(LinkAttribute.name, text: name)
        message.attribute(LinkAttribute.address, address)
        if let mtu { message.attribute(LinkAttribute.mtu, mtu) }
        message.nested(LinkAttribute.info) { message in
            message.attribute(LinkAttribute.infoKind, text: "veth")
            message.nested(LinkAttribute.infoData) { message in
                message.nested(LinkAttribute.vethPeer) { message in
                    message.raw(Self.linkHeader(index: 0, flags: 0, change: 0))
                    message.attribute(LinkAttribute.name, text: peer)
                    message.attribute(LinkAttribute.address, peerAddress)
                    if let mtu { message.attribute(LinkAttribute.mtu, mtu) }
                    message.attribute(LinkAttribute.namespaceDescriptor, descriptor)
                }
            }
        }
        try socket.perform("adding the link \(name)", [message])
    }

    /// `ip link del NAME`; its veth peer goes with it.
    public func deleteLink(_ name: String) throws(NetfilterError) {
        var message = Self.link(.deleteLink, flags: 0)
        message.attribute(LinkAttribute.name, text: name)
        try socket.perform("deleting the link \(name)", [message])
    }

    /// `ip link set NAME up`
    public func setUp(_ name: String) throws(NetfilterError) { try setUp(index: try index(of: name), name) }

    /// The index of a link. Asks for this link only, since a machine with a thousand sandboxes has a thousand links.
    public func index(of name: String) throws(NetfilterError) -> UInt32 {
        var message = Self.link(.getLink, flags: 0)
        message.attribute(LinkAttribute.name, text: name)
        let found = try socket.dump("looking up the link \(name)", message) { reply -> UInt32? in
            reply.payload.count >= 16 ? reply.payload.number(at: 4, as: UInt32.self) : nil
        }
        guard let index = found.last else {
            throw .refused(action: "looking up the link \(name)", code: ENODEV, explanation: nil)
        }
        return index
    }

    /// What a link is, to tell one's own from another's of the same name; nil where there is none. `ip -d link show NAME`
    public func identity(of name: String) throws(NetfilterError) -> (kind: String, hardware: [UInt8])? {
        var message = Self.link(.getLink, flags: 0)
        message.attribute(LinkAttribute.name, text: name)
        do throws(NetfilterError) {
            let found = try socket.dump("looking up the link \(name)", message) { reply -> (String, [UInt8])? in
                guard reply.payload.count >= 16 else { return nil }
                let attributes = reply.attributes(after: 16)
                let info = attributes[LinkAttribute.info].map { NetlinkReply.attributes($0) }
                let kind = info?[LinkAttribute.infoKind].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                return (kind ?? "", Array(attributes[LinkAttribute.address] ?? []))
            }
            return found.last
        } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }

    /// `ip link show`
    public func links() throws(NetfilterError) -> [(name: String, index: UInt32)] {
        let request = Self.link(.getLink, flags: NetlinkFlag.dump, acknowledge: false)
        return try socket.dump("listing links", request) { reply -> (name: String, index: UInt32)? in
            guard reply.payload.count >= 16, let name = reply.attributes(after: 16)[LinkAttribute.name] else {
                return nil
            }
            return (String(decoding: name.dropLast(), as: UTF8.self), reply.payload.number(at: 4, as: UInt32.self))
        }
    }

    /// `ip addr add ADDRESS/LENGTH dev LINK`; IPv6 without duplicate address detection, since nobody else is on a veth.
    public func addAddress(_ address: IPAddress, prefixLength: UInt8, link: UInt32) throws(NetfilterError) {
        let noDuplicateDetection: UInt8 = 0x02
        let flags = address.isIPv4 ? 0 : noDuplicateDetection
        var message = NetlinkMessage(
            type: 20, flags: NetlinkFlag.acknowledge | NetlinkFlag.create | NetlinkFlag.replace,
            body: [Self.family(address), prefixLength, flags, 0] + NetlinkMessage.hostBytes(link))
        message.attribute(2, address.bytes)  // IFA_LOCAL
        message.attribute(1, address.bytes)  // IFA_ADDRESS
        try socket.perform("adding the address \(address)", [message])
    }

    /// `ip route replace BLOCK dev LINK [via GATEWAY onlink] [src SOURCE]`
    public func addRoute(
        to block: CIDRBlock, link: UInt32, via gateway: IPAddress? = nil, source: IPAddress? = nil
    ) throws(NetfilterError) {
        try socket.perform(
            "adding a route to \(block)",
            [route(24, NetlinkFlag.create | NetlinkFlag.replace, block, link, gateway, source)])
    }

    /// `ip route del BLOCK dev LINK`
    public func deleteRoute(to block: CIDRBlock, link: UInt32) throws(NetfilterError) {
        try socket.perform("deleting the route to \(block)", [route(25, 0, block, link, nil, nil)])
    }

    /// `ip neigh replace ADDRESS lladdr HARDWARE dev LINK nud permanent`
    public func setNeighbour(_ address: IPAddress, hardware: [UInt8], link: UInt32) throws(NetfilterError) {
        let permanent: UInt16 = 0x80
        var message = NetlinkMessage(
            type: 28, flags: NetlinkFlag.acknowledge | NetlinkFlag.create | NetlinkFlag.replace,
            body: [Self.family(address), 0, 0, 0] + NetlinkMessage.hostBytes(link) + NetlinkMessage.hostBytes(permanent)
                + [0, 0])
        message.attribute(1, address.bytes)  // NDA_DST
        message.attribute(2, hardware)  // NDA_LLADDR
        try socket.perform("setting the neighbour \(address)", [message])
    }

    private func setUp(index: UInt32, _ name: String) throws(NetfilterError) {
        let up: UInt32 = 1
        let message = NetlinkMessage(
            type: LinkMessage.newLink.rawValue, flags: NetlinkFlag.acknowledge,
            body: Self.linkHeader(index: index, flags: up, change: up))
        try socket.perform("setting the link \(name) up", [message])
    }

    private func route(
        _ type: UInt16, _ flags: UInt16, _ block: CIDRBlock, _ link: UInt32, _ gateway: IPAddress?, _ source: IPAddress?
    ) -> NetlinkMessage {
        let mainTable: UInt8 = 254, bootProtocol: UInt8 = 3, universe: UInt8 = 0, linkScope: UInt8 = 253,
            unicast: UInt8 = 1
        let onLink: UInt32 = 4
        let scope = gateway == nil && block.base.isIPv4 ? linkScope : universe
        var message = NetlinkMessage(
            type: type, flags: NetlinkFlag.acknowledge | flags,
            body: [Self.family(block.base), UInt8(block.prefixLength), 0, 0, mainTable, bootProtocol, scope, unicast]
                + NetlinkMessage.hostBytes(gateway == nil ? UInt32(0) : onLink))
        message.attribute(1, block.base.bytes)  // RTA_DST
        message.attribute(4, link)  // RTA_OIF
        if let gateway { message.attribute(5, gateway.bytes) }  // RTA_GATEWAY
        if let source { message.attribute(7, source.bytes) }  // RTA_PREFSRC
        return message
    }

    private static func family(_ address: IPAddress) -> UInt8 { UInt8(address.isIPv4 ? AF_INET : AF_INET6) }

    private static func link(_ type: LinkMessage, flags: UInt16, acknowledge: Bool = true) -> NetlinkMessage {
        NetlinkMessage(
            type: type.rawValue, flags: flags | (acknowledge ? NetlinkFlag.acknowledge : 0),
            body: linkHeader(index: 0, flags: 0, change: 0))
    }

    /// struct ifinfomsg
    private static func linkHeader(index: UInt32, flags: UInt32, change: UInt32) -> [UInt8] {
        [0, 0, 0, 0] + NetlinkMessage.hostBytes(index) + NetlinkMessage.hostBytes(flags)
            + NetlinkMessage.hostBytes(change)
    }

    private enum LinkMessage: UInt16 {
        case newLink = 16
        case deleteLink = 17
        case getLink = 18
    }

    private enum LinkAttribute {
        static let address: UInt16 = 1
        static let name: UInt16 = 3
        static let mtu: UInt16 = 4
        static let info: UInt16 = 18
        static let infoKind: UInt16 = 1
        static let infoData: UInt16 = 2
        static let vethPeer: UInt16 = 1
        static let namespaceDescriptor: UInt16 = 28
    }
}
