import Addresses

#if canImport(Glibc)
    import Glibc
#endif

/// Who listens in the network namespace in which this was opened (inet_diag, as `ss -ltn`).
public struct ListeningSockets: Sendable {
    private let socket: NetlinkSocket

    /// One of them, or one that they have accepted.
    public struct Listener: Hashable, Sendable {
        public var user: UInt32
        /// As links of /proc/PID/fd name it. The kernel counts them round, so that another socket may have it one day.
        public var inode: UInt32
        /// No other socket has it while the machine runs (SO_COOKIE).
        public var cookie: UInt64

        public init(user: UInt32, inode: UInt32, cookie: UInt64) {
            (self.user, self.inode, self.cookie) = (user, inode, cookie)
        }
    }

    /// The bit of TCP_LISTEN.
    private static let listening: UInt32 = 1 << 10
    /// struct inet_diag_msg: four bytes, the identifier with the cookie at its end, the time that a timer has left, two queues, and
    /// then the user and the inode.
    private static let cookie = 4 + SocketDestroyer.idLength - 8
    private static let user = 4 + SocketDestroyer.idLength + 12
    private static let end = user + 8
    /// INET_DIAG_SKV6ONLY
    private static let onlyIPv6: UInt16 = 11

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.socketDiagnostics) }

    /// The users of the sockets that listen on a TCP port; empty if there are none.
    /// - Parameter address: as `listeners` takes it.
    public func users(ofPort port: UInt16, reachedAt address: IPAddress? = nil) throws(NetfilterError) -> Set<UInt32> {
        Set(try listeners(atPort: port, reachedAt: address).map(\.user))
    }

    /// The sockets that listen on a TCP port.
    /// - Parameter address: only those that a connection to it reaches; nil for all.
    public func listeners(
        atPort port: UInt16, reachedAt address: IPAddress? = nil
    ) throws(NetfilterError) -> Set<Listener> {
        var listeners: Set<Listener> = []
        // The kernel passes over sockets of other ports, of which there may be many.
        let identifier =
            [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]
            + [UInt8](repeating: 0, count: SocketDestroyer.idLength - 2)
        for family in [UInt8(AF_INET), UInt8(AF_INET6)] {
            let request = NetlinkMessage(
                type: SocketDestroyer.byFamily, flags: NetlinkFlag.dump,
                body: [family, IPProtocol.tcp, 0, 0] + NetlinkMessage.hostBytes(Self.listening) + identifier)
            let found = try socket.dump("listing sockets that listen", request) { reply -> Listener? in
                // Anybody may listen at every address of IPv6 beside whoever has the port at one of IPv4.
                let takesIPv4 = reply.attributes(after: Self.end)[Self.onlyIPv6]?.first != 1
                guard takesIPv4 || address?.isIPv4 != true else { return nil }
                return Self.listener(in: Array(reply.payload.prefix(Self.end)), atPort: port, reachedAt: address)
            }
            listeners.formUnion(found)
        }
        return listeners
    }

    /// The other end of a connection of the network to itself; nil where there is none any more. Until a program has accepted it, its
    /// inode is 0.
    public func accepted(
        at address: IPAddress, _ port: UInt16, from client: IPAddress, _ clientPort: UInt16
    ) throws(NetfilterError) -> Listener? {
        let family = UInt8(address.isIPv4 ? AF_INET : AF_INET6)
        let ports = NetlinkMessage.networkBytes(port) + NetlinkMessage.networkBytes(clientPort)
        var identifier = ports
        for place in [address.bytes, client.bytes] {
            identifier += place
            identifier += [UInt8](repeating: 0, count: 16 - place.count)
        }
        // On any interface, with any cookie.
        identifier += [UInt8](repeating: 0, count: 4)
        identifier += [UInt8](repeating: 0xff, count: 8)
        let request = NetlinkMessage(
            type: SocketDestroyer.byFamily, flags: NetlinkFlag.acknowledge,
            body: [family, IPProtocol.tcp, 0, 0] + NetlinkMessage.hostBytes(UInt32.max) + identifier)
        do throws(NetfilterError) {
            // An answer and an acknowledgement, which are read as a dump's are.
            return try socket.dump("looking for the other end of a connection", request) { reply -> Listener? in
                let bytes = Array(reply.payload.prefix(Self.end))
                // Where there is no connection, the kernel tells of what listens there.
                guard bytes.count == Self.end, Array(bytes[4..<8]) == ports else { return nil }
                return Self.listener(in: bytes, atPort: port)
            }.first
        } catch {
            guard error.isNotFound else { throw error }
            return nil
        }
    }

    /// The socket in a reply; nil if it has another port, is not reached there, or the reply is too short.
    static func listener(in reply: [UInt8], atPort port: UInt16, reachedAt address: IPAddress? = nil) -> Listener? {
        guard reply.count >= end, UInt16(reply[4]) << 8 | UInt16(reply[5]) == port else { return nil }
        if let address {
            let place = reply[0] == UInt8(AF_INET) ? reply[8..<12] : reply[8..<24]
            guard let own = IPAddress(bytes: place)?.unmapped else { return nil }
            // One of every address of IPv6 takes IPv4, too.
            guard own == address || place.allSatisfy({ $0 == 0 }) && (own.isIPv4 == address.isIPv4 || !own.isIPv4)
            else {
                return nil
            }
        }
        return reply.withUnsafeBytes { bytes in
            func number(at offset: Int) -> UInt32 { bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
            return Listener(
                user: number(at: user), inode: number(at: user + 4),
                cookie: UInt64(number(at: cookie + 4)) << 32 | UInt64(number(at: cookie)))
        }
    }
}
