import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

/// Socket calls of the filter.
enum Sockets {
    /// The bytes of a sockaddr_in or sockaddr_in6.
    static func address(_ upstream: UpstreamAddress) -> [UInt8] {
        let family = withUnsafeBytes(of: sa_family_t(upstream.address.isIPv4 ? AF_INET : AF_INET6)) { Array($0) }
        let port = [UInt8(upstream.port >> 8), UInt8(upstream.port & 0xff)]
        let zeros = { (count: Int) in [UInt8](repeating: 0, count: count) }
        return upstream.address.isIPv4
            ? family + port + upstream.address.bytes + zeros(8)
            : family + port + zeros(4) + upstream.address.bytes + zeros(4)
    }

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
        let bytes = address(upstream)
        let status = bytes.withUnsafeBytes {
            connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard status == 0 || errno == EINPROGRESS else {
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

    /// Milliseconds of a monotonic clock.
    static func monotonicMilliseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
    }
}
