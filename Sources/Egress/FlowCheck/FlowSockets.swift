import Addresses
import CLinux
import DNSFilter
import Glibc
import NetworkPolicy
import System

/// Socket calls of the checker.
enum FlowSockets {
    /// The original destination of an accepted connection; nil if it was not redirected here.
    static func target(of descriptor: CInt, isIPv4: Bool) -> FlowTarget? {
        // Who dials the check itself would have it dial itself, over and over, where no name is asked for.
        guard let target = RawSocketAddress(originalDestinationOf: descriptor, isIPv4: isIPv4),
            let address = target.address, !address.isLoopback
        else { return nil }
        return FlowTarget(address: address, port: target.port)
    }

    /// Where an accepted connection comes from; nil if it is gone.
    static func source(of descriptor: CInt) -> FlowTarget? {
        guard let peer = try? RawSocketAddress(peerOf: descriptor), let address = peer.address else { return nil }
        return FlowTarget(address: address, port: peer.port)
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
        let status = RawSocketAddress(target.address, port: target.port).connect(descriptor)
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
}
