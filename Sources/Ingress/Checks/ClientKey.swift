#if canImport(Glibc)
    import Glibc
#endif

/// Identifies a client for counting: an IPv4 address, or the /64 of an IPv6 address, since one client may have all of
/// it.
struct ClientKey: Hashable, Sendable {
    private let number: UInt64
    private let isIPv6: Bool

    /// - Parameter address: a literal address; nil on a unix socket.
    init(_ address: String?) {
        var v4 = in_addr(), v6 = in6_addr()
        if let address, inet_pton(AF_INET, address, &v4) == 1 {
            (number, isIPv6) = (UInt64(v4.s_addr), false)
        } else if let address, inet_pton(AF_INET6, address, &v6) == 1 {
            let bytes = withUnsafeBytes(of: v6) { Array($0) }
            func read(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
            // An IPv4-mapped address (RFC 4291, section 2.5.5.2), in the byte order of s_addr.
            if read(0..<8) == 0, read(8..<12) == 0xFFFF {
                (number, isIPv6) = (UInt64(UInt32(read(12..<16)).bigEndian), false)
            } else {
                (number, isIPv6) = (read(0..<8), true)
            }
        } else {
            (number, isIPv6) = (0, false)
        }
    }
}
