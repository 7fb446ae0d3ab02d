import Addresses

/// Identifies a client for counting: an IPv4 address, or the /64 of an IPv6 address, since one client may have all of
/// it.
struct ClientKey: Hashable, Sendable {
    private let number: UInt64
    private let isIPv6: Bool

    /// - Parameter address: a literal address; nil on a unix socket.
    init(_ address: String?) {
        switch address.flatMap({ IPAddress($0) })?.unmapped {
        case .v4(let address)?: (number, isIPv6) = (UInt64(address.rawValue), false)
        case .v6(let address)?: (number, isIPv6) = (address.high, true)
        case nil: (number, isIPv6) = (0, false)
        }
    }
}
