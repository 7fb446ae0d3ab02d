import Addresses

#if canImport(Glibc)
    import Glibc
#endif

/// Who listens in the network namespace in which this was opened (inet_diag, as `ss -ltn`).
public struct ListeningSockets: Sendable {
    private let socket: NetlinkSocket

    /// One of them.
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
            let found = try socket.dump("listing sockets that listen", request) { reply in
                Self.listener(in: Array(reply.payload.prefix(Self.end)), atPort: port, reachedAt: address)
            }
            listeners.formUnion(found)
        }
        return listeners
    }

    /// The socket in a reply; nil if it has another port, is not reached there, or the reply is too short.
    static func listener(in reply: [UInt8], atPort port: UInt16, reachedAt address: IPAddress? = nil) -> Listener? {
        guard reply.count >= end, UInt16(reply[4]) << 8 | UInt16(reply[5]) == port else { return nil }
        if let address {
            let place = reply[0] == UInt8(AF_INET) ? reply[8..<12] : reply[8..<24]
            guard let own = IPAddress(bytes: place)?.unmapped else { return nil }
            // One of every address of IPv6 takes IPv4, too, unless it says otherwise.
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
