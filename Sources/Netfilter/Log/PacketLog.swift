#if canImport(Glibc)
    import Glibc
#endif

/// What rules with `log group …` report in the network namespace in which this was opened (nfnetlink_log).
///
/// The kernel keeps messages in the socket until they are read, and drops further ones when it is full: a flood costs a
/// reader no more than the rules let by, and no more than the socket holds.
public final class PacketLog: Sendable {
    private let socket: NetlinkSocket
    private let group: UInt16
    private let bytesOfPacket: UInt32

    /// About 25 full messages of the kernel, several hundred packets.
    private static let receiveBufferBytes: Int32 = 64 << 10
    /// Hundredths of a second after which the kernel hands over a message that is not full.
    private static let flushTime: UInt32 = 10

    /// - Parameters:
    ///   - group: as in the rules.
    ///   - bytesOfPacket: how much of a packet is reported.
    public init(group: UInt16, bytesOfPacket: UInt32) throws(NetfilterError) {
        socket = try NetlinkSocket(.netfilter, receiveBufferBytes: Self.receiveBufferBytes)
        self.group = group
        self.bytesOfPacket = bytesOfPacket
    }

    /// Begins to listen.
    /// - Returns: false if another socket listens to the group now.
    /// - Throws: `NetfilterError` where the kernel has no nfnetlink_log.
    public func listen() throws(NetfilterError) -> Bool {
        do throws(NetfilterError) {
            try socket.perform("listening to refused packets", [Self.request(group: group, bytes: bytesOfPacket)])
            return true
        } catch {
            // What others have is EPERM, before Linux 3.14 EBUSY.
            guard error.code == EPERM || error.code == EBUSY else { throw error }
            return false
        }
    }

    /// What has been reported since the last call. Never waits.
    /// - Parameter limit: datagrams to read; each holds some packets. The rest is there for the next call.
    public func read(limit: Int) -> [LoggedPacket] { socket.takeUnasked(limit: limit).compactMap { LoggedPacket($0) } }

    /// NFULNL_MSG_CONFIG: binds the group, and says how much of a packet to copy and when to send.
    static func request(group: UInt16, bytes: UInt32) -> NetlinkMessage {
        var request = NetlinkMessage(
            type: LoggedPacket.subsystem | 1, flags: NetlinkFlag.acknowledge,
            body: [0, 0] + NetlinkMessage.networkBytes(group))
        request.attribute(1, [UInt8(1)])  // NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND
        // NFULA_CFG_MODE: NFULNL_COPY_PACKET
        request.attribute(2, NetlinkMessage.networkBytes(bytes) + [2, 0])
        request.attribute(4, NetlinkMessage.networkBytes(flushTime))  // NFULA_CFG_TIMEOUT
        return request
    }
}
