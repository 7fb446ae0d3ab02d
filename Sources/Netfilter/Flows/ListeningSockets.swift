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

    /// The users of all sockets that listen on a TCP port, whatever their address; empty if there are none.
    public func users(ofPort port: UInt16) throws(NetfilterError) -> Set<UInt32> {
        var users: Set<UInt32> = []
        for family in [UInt8(AF_INET), UInt8(AF_INET6)] {
            let request = NetlinkMessage(
                type: SocketDestroyer.byFamily, flags: NetlinkFlag.dump,
                body: [family, IPProtocol.tcp, 0, 0] + NetlinkMessage.hostBytes(Self.listening)
                    + [UInt8](repeating: 0, count: SocketDestroyer.idLength))
            let found = try socket.dump("listing sockets that listen", request) { reply in
                Self.user(in: Array(reply.payload.prefix(Self.user + 4)), ofPort: port)
            }
            users.formUnion(found)
        }
        return users
    }

    /// The user of a socket in a reply; nil if it has another port, or the reply is too short.
    static func user(in reply: [UInt8], ofPort port: UInt16) -> UInt32? {
        guard reply.count >= user + 4, UInt16(reply[4]) << 8 | UInt16(reply[5]) == port else { return nil }
        return reply.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: user, as: UInt32.self) }
    }
}
