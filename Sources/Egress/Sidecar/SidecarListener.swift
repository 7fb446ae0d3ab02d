import CLinux
import Egress
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The socket of the policy API. Its connections carry a mark, by which the kernel knows the answers from those of anything else in
/// the namespace that takes the port while no sidecar runs (`SidecarRuleset.apiMark`).
enum SidecarListener {
    private static let backlog: CInt = 256

    /// - Returns: a descriptor, which listens.
    static func open(_ place: ListenAddress, mark: UInt32) throws(SystemCallError) -> CInt {
        guard let host = place.host else {
            do throws(SystemCallError) {
                // IPv4 as well.
                return try open(RawSocketAddress(everywhereIPv4: false, port: place.port), mark)
            } catch {
                guard error.code != EADDRINUSE else { throw error }
                // A kernel without IPv6.
                return try open(RawSocketAddress(everywhereIPv4: true, port: place.port), mark)
            }
        }
        return try open(RawSocketAddress(host, port: place.port), mark)
    }

    private static func open(_ address: RawSocketAddress, _ mark: UInt32) throws(SystemCallError) -> CInt {
        let made = try FileDescriptor(
            socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
        // Connections get the mark and the other from the socket that they come to.
        try set(made.number, SOL_SOCKET, SO_MARK, CInt(bitPattern: mark))
        try set(made.number, SOL_SOCKET, SO_REUSEADDR, 1)
        try set(made.number, CInt(IPPROTO_TCP), TCP_NODELAY, 1)
        if address.family == AF_INET6 { try set(made.number, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
        guard address.bind(made.number) == 0, listen(made.number, backlog) == 0 else { throw .last }
        return made.release()
    }

    private static func set(
        _ socket: CInt, _ level: CInt, _ option: CInt, _ value: CInt
    ) throws(SystemCallError) {
        var value = value
        guard setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 else { throw .last }
    }
}
