import CLinux
import DNSFilter
import Glibc
import NetworkPolicy

/// Socket calls of the checker.
enum FlowSockets {
    /// The original destination of an accepted connection; nil if it was not redirected here.
    static func target(of descriptor: CInt, isIPv4: Bool) -> FlowTarget? {
        var storage = sockaddr_storage()
        guard linux_original_destination(descriptor, isIPv4 ? 0 : 1, &storage) == 0 else { return nil }
        return withUnsafeBytes(of: &storage) { bytes in
            let port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
            // A connection made to the checker's own port would make it dial itself in a loop.
            let address = IPAddress(bytes: bytes[isIPv4 ? 4..<8 : 8..<24])
            guard let address, !address.isLoopback else { return nil }
            return FlowTarget(address: address, port: port)
        }
    }

    /// A connecting non-blocking socket, or -errno. Call on a thread in the namespace.
    static func connecting(to target: FlowTarget, mark: SocketMark) -> CInt {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(target.address.isIPv4 ? AF_INET : AF_INET6, flags, 0)
        guard descriptor >= 0 else { return -errno }
        guard set(SOL_SOCKET, SO_MARK, mark.mark, on: descriptor),
            set(SOL_SOCKET, SO_PRIORITY, mark.priority, on: descriptor)
        else {
            defer { close(descriptor) }
            return -errno
        }
        prepare(descriptor)
        let bytes = address(target)
        let status = bytes.withUnsafeBytes {
            connect(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard status == 0 || errno == EINPROGRESS else {
            defer { close(descriptor) }
            return -errno
        }
        return descriptor
    }

    /// Sets the options of relayed sockets: no delay, and keep-alive to notice dead peers.
    static func prepare(_ descriptor: CInt) {
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1, on: descriptor)
        set(SOL_SOCKET, SO_KEEPALIVE, 1, on: descriptor)
        set(Int32(IPPROTO_TCP), TCP_KEEPIDLE, 300, on: descriptor)
    }

    /// Closes with a reset.
    static func abort(_ descriptor: CInt) {
        _ = linux_abort_connection(descriptor)
        close(descriptor)
    }

    /// The result of a connection attempt.
    static func error(of descriptor: CInt) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    @discardableResult
    private static func set(_ level: Int32, _ option: Int32, _ value: UInt32, on descriptor: CInt) -> Bool {
        var value = value
        return setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<UInt32>.size)) == 0
    }

    /// The bytes of a sockaddr_in or sockaddr_in6.
    private static func address(_ target: FlowTarget) -> [UInt8] {
        let family = withUnsafeBytes(of: sa_family_t(target.address.isIPv4 ? AF_INET : AF_INET6)) { Array($0) }
        let port = [UInt8(target.port >> 8), UInt8(target.port & 0xff)]
        let zeros = { (count: Int) in [UInt8](repeating: 0, count: count) }
        return target.address.isIPv4
            ? family + port + target.address.bytes + zeros(8)
            : family + port + zeros(4) + target.address.bytes + zeros(4)
    }
}
