import Addresses

#if canImport(Glibc)
    import Glibc
#endif

/// Who listens in the network namespace in which this was opened (inet_diag, as `ss -ltn`).
public struct ListeningSockets: Sendable {
    private let socket: NetlinkSocket

    /// The bit of TCP_LISTEN.
    private static let listening: UInt32 = 1 << 10
    /// struct inet_diag_msg: four bytes, the identifier, the time that a timer has left, two queues, and then the user.
    private static let user = 4 + SocketDestroyer.idLength + 12

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.socketDiagnostics) }

    /// The users of the sockets that listen on a TCP port; empty if there are none.
    /// - Parameter address: only those that a connection to it reaches; nil for all.
    public func users(ofPort port: UInt16, reachedAt address: IPAddress? = nil) throws(NetfilterError) -> Set<UInt32> {
        var users: Set<UInt32> = []
        // The kernel passes over sockets of other ports, of which there may be many.
        let identifier =
            [UInt8(port >> 8), UInt8(truncatingIfNeeded: port)]
            + [UInt8](repeating: 0, count: SocketDestroyer.idLength - 2)
        for family in [UInt8(AF_INET), UInt8(AF_INET6)] {
            let request = NetlinkMessage(
                type: SocketDestroyer.byFamily, flags: NetlinkFlag.dump,
                body: [family, IPProtocol.tcp, 0, 0] + NetlinkMessage.hostBytes(Self.listening) + identifier)
            let found = try socket.dump("listing sockets that listen", request) { reply in
                Self.user(in: Array(reply.payload.prefix(Self.user + 4)), ofPort: port, reachedAt: address)
            }
            users.formUnion(found)
        }
        return users
    }

    /// The user of a socket in a reply; nil if it has another port, is not reached there, or the reply is too short.
    static func user(in reply: [UInt8], ofPort port: UInt16, reachedAt address: IPAddress? = nil) -> UInt32? {
        guard reply.count >= user + 4, UInt16(reply[4]) << 8 | UInt16(reply[5]) == port else { return nil }
        if let address {
            let place = reply[0] == UInt8(AF_INET) ? reply[8..<12] : reply[8..<24]
            guard let own = IPAddress(bytes: place)?.unmapped else { return nil }
            // One of every address of IPv6 takes IPv4, too, unless it says otherwise.
            guard own == address || place.allSatisfy({ $0 == 0 }) && (own.isIPv4 == address.isIPv4 || !own.isIPv4)
            else {
                return nil
            }
        }
        return reply.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: user, as: UInt32.self) }
    }
}
