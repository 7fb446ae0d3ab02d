import Addresses
import Glibc
import NetworkPolicy

/// A sockaddr_in or sockaddr_in6 as bytes.
public struct SocketAddressBytes {
    public let family: Int32
    public let bytes: [UInt8]

    public init(_ address: IPAddress, _ port: UInt16) {
        let octets = Array(address.bytes)
        family = octets.count == 4 ? AF_INET : AF_INET6
        let start = withUnsafeBytes(of: sa_family_t(family)) { Array($0) } + [UInt8(port >> 8), UInt8(port & 0xff)]
        bytes =
            start
            + (octets.count == 4 ? octets + Array(repeating: 0, count: 8) : [0, 0, 0, 0] + octets + [0, 0, 0, 0])
    }

    public init(_ text: String, _ port: UInt16) { self.init(IPAddress(text)!, port) }

    public func with<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
        bytes.withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count)) }
    }
}
