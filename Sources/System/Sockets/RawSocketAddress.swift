import Addresses
import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// An address and a port in the kernel's form: a sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)).
package struct RawSocketAddress: Hashable, Sendable {
    package let bytes: [UInt8]

    /// From bytes of the kernel or the C library.
    package init(bytes: [UInt8]) { self.bytes = bytes }

    package init(_ address: IPAddress, port: UInt16) {
        let family = withUnsafeBytes(of: sa_family_t(address.isIPv4 ? AF_INET : AF_INET6)) { Array($0) }
        let head = family + [UInt8(port >> 8), UInt8(port & 0xff)]
        let zeros: (Int) -> [UInt8] = { [UInt8](repeating: 0, count: $0) }
        // For IPv6 the flow label, the address and the scope follow the port.
        bytes = address.isIPv4 ? head + address.bytes + zeros(8) : head + zeros(4) + address.bytes + zeros(4)
    }

    /// Of every address of this machine in one family.
    package init(everywhereIPv4 isIPv4: Bool, port: UInt16) {
        self.init(IPAddress(bytes: [UInt8](repeating: 0, count: isIPv4 ? 4 : 16))!, port: port)
    }

    /// The original destination of a redirected connection; nil if it was not redirected here.
    package init?(originalDestinationOf descriptor: CInt, isIPv4: Bool) {
        var storage = sockaddr_storage()
        guard linux_original_destination(descriptor, isIPv4 ? 0 : 1, &storage) == 0 else { return nil }
        bytes = withUnsafeBytes(of: &storage) { Array($0[..<(isIPv4 ? 16 : 28)]) }
    }

    /// The local address of a socket.
    package init(of descriptor: CInt) throws(SystemCallError) { try self.init(descriptor, getsockname) }

    /// The address at the other end of a socket.
    package init(peerOf descriptor: CInt) throws(SystemCallError) { try self.init(descriptor, getpeername) }

    private init(
        _ descriptor: CInt, _ name: (CInt, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> CInt
    ) throws(SystemCallError) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutableBytes(of: &storage) {
            name(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        guard status == 0 else { throw .last }
        bytes = withUnsafeBytes(of: &storage) { Array($0[..<min(Int(length), $0.count)]) }
    }

    /// `AF_INET` or `AF_INET6`; `AF_UNSPEC` if there are too few bytes.
    package var family: CInt {
        guard bytes.count >= 4 else { return AF_UNSPEC }
        return bytes.withUnsafeBytes { CInt($0.loadUnaligned(as: sa_family_t.self)) }
    }

    package var port: UInt16 { bytes.count >= 4 ? UInt16(bytes[2]) << 8 | UInt16(bytes[3]) : 0 }

    package var address: IPAddress? {
        switch family {
        case AF_INET where bytes.count >= 8: IPAddress(bytes: bytes[4..<8])
        case AF_INET6 where bytes.count >= 24: IPAddress(bytes: bytes[8..<24])
        default: nil
        }
    }

    package func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        bytes.withUnsafeBytes {
            body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
    }

    /// connect(2): 0, or -1 and errno.
    package func connect(_ descriptor: CInt) -> CInt { withPointer { Glibc.connect(descriptor, $0, $1) } }

    /// bind(2): 0, or -1 and errno.
    package func bind(_ descriptor: CInt) -> CInt { withPointer { Glibc.bind(descriptor, $0, $1) } }
}
