import Addresses
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Socket calls of the filter.
enum Sockets {
    /// A non-blocking socket connected to an upstream (for TCP: connecting), or nil.
    static func connected(to upstream: UpstreamAddress, stream: Bool, mark: SocketMark? = nil) -> CInt? {
        let kind = Int32((stream ? SOCK_STREAM : SOCK_DGRAM).rawValue)
        let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(upstream.address.isIPv4 ? AF_INET : AF_INET6, kind | flags, 0)
        guard descriptor >= 0 else { return nil }
        if let mark, !set(mark, on: descriptor) {
            close(descriptor)
            return nil
        }
        let address = RawSocketAddress(upstream.address, port: upstream.port)
        guard address.connect(descriptor) == 0 || errno == EINPROGRESS else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    private static func set(_ mark: SocketMark, on descriptor: CInt) -> Bool {
        [(SO_MARK, mark.mark), (SO_PRIORITY, mark.priority)].allSatisfy { option, value in
            var value = value
            return setsockopt(descriptor, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<UInt32>.size)) == 0
        }
    }
}
