import Addresses
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// A connected socket of the namespace. IPv4-mapped addresses are given as IPv4.
public struct OpenSocket: Hashable, Sendable {
    public var transport: UInt8
    public var local: IPAddress
    public var localPort: UInt16
    public var remote: IPAddress
    public var remotePort: UInt16
}

/// Destroys sockets of the namespace in which this was opened (SOCK_DESTROY of inet_diag, as `ss -K`). Their owners get
/// ECONNABORTED at once; dropping packets silently would leave them waiting.
public final class SocketDestroyer: Sendable {
    private let socket: NetlinkSocket

    static let byFamily: UInt16 = 20
    private static let destroy: UInt16 = 21
    static let idLength = 48

    public init() throws(NetfilterError) { socket = try NetlinkSocket(.socketDiagnostics) }

    /// Destroys the connected TCP and UDP sockets for which `isDoomed` holds.
    /// - Returns: how many were destroyed.
    @discardableResult
    public func destroy(where isDoomed: (OpenSocket) -> Bool) throws(NetfilterError) -> Int {
        var count = 0
        for transport in [IPProtocol.tcp, IPProtocol.udp] {
            for family in [UInt8(AF_INET), UInt8(AF_INET6)] {
                for found in try sockets(transport, family) where isDoomed(found.socket) {
                    let message = NetlinkMessage(
                        type: Self.destroy, flags: NetlinkFlag.acknowledge,
                        body: [family, transport, 0, 0] + NetlinkMessage.hostBytes(UInt32.max) + found.identifier)
                    do throws(NetfilterError) {
                        try socket.perform("destroying a socket", [message])
                        count += 1
                    } catch {
                        // It was closed in the meantime, or is in TIME-WAIT.
                        guard error.isNotFound || error.code == EOPNOTSUPP else { throw error }
                    }
                }
            }
        }
        return count
    }

    private func sockets(
        _ transport: UInt8, _ family: UInt8
    ) throws(NetfilterError) -> [(socket: OpenSocket, identifier: [UInt8])] {
        let everyState = UInt32.max
        let request = NetlinkMessage(
            type: Self.byFamily, flags: NetlinkFlag.dump,
            body: [family, transport, 0, 0] + NetlinkMessage.hostBytes(everyState)
                + [UInt8](repeating: 0, count: Self.idLength))
        do throws(NetfilterError) {
            return try socket.dump("listing sockets", request) { reply -> (socket: OpenSocket, identifier: [UInt8])? in
                // struct inet_diag_msg: family, state, timer, retransmits, then the identifier.
                guard reply.payload.count >= 4 + Self.idLength else { return nil }
                let identifier = Array(reply.payload.dropFirst(4).prefix(Self.idLength))
                return Self.parse(identifier, family: family, transport: transport).map { ($0, identifier) }
            }
        } catch {
            // The kernel has no diagnostics module for this transport, so there is nothing to list.
            guard error.code == ENOENT else { throw error }
            return []
        }
    }

    /// struct inet_diag_sockid: ports and addresses in network order, then the interface and a cookie.
    private static func parse(_ identifier: [UInt8], family: UInt8, transport: UInt8) -> OpenSocket? {
        let width = family == UInt8(AF_INET) ? 4 : 16
        guard let local = IPAddress(bytes: identifier[4..<4 + width]),
            let remote = IPAddress(bytes: identifier[20..<20 + width])
        else { return nil }
        let remotePort = UInt16(identifier[2]) << 8 | UInt16(identifier[3])
        guard remotePort != 0 else { return nil }
        return OpenSocket(
            transport: transport, local: local.unmapped, localPort: UInt16(identifier[0]) << 8 | UInt16(identifier[1]),
            remote: remote.unmapped, remotePort: remotePort)
    }
}
