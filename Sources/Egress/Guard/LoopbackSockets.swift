import Addresses
import DNSFilter
import Glibc
import Synchronization
import System

/// Sockets on loopback of a sandbox's namespace to which its packets are redirected: all with one port, IPv4, and IPv6
/// where the kernel has it. Nothing from outside the namespace reaches loopback. They are closed with this object, unless
/// handed over.
final class LoopbackSockets: Sendable {
    enum Use {
        /// Datagrams and connections.
        case dns
        /// Connections only.
        case flowCheck
    }

    /// One for each family of addresses.
    struct Family: Sendable {
        var ipv4: CInt?
        var ipv6: CInt?

        var all: [CInt] { [ipv4, ipv6].compactMap(\.self) }
    }

    private struct Owned: Sendable {
        var port: UInt16 = 0
        var udp = Family()
        var tcp = Family()
    }

    private let owned = Mutex(Owned())

    /// The listen backlog: TCP connections waiting to be accepted.
    private static let backlog: Int32 = 64
    private static let attempts = 64

    /// Where ports are looked for: above those that the kernel gives away by default, and that programs of a sandbox listen at,
    /// execd's 44772 among them.
    static let preferred: ClosedRange<UInt16> = 61_000...65_535

    /// Call on a thread that is in the namespace; the descriptors stay bound to it. The port is any that is free, since
    /// a running sandbox (during recovery) may hold any fixed one.
    static func open(_ use: Use) throws(EgressError) -> LoopbackSockets {
        var attempt = 0
        while true {
            attempt += 1
            // One that has taken all of them gets what the kernel has left.
            let port = attempt <= attempts / 2 ? UInt16.random(in: preferred) : 0
            do throws(SystemCallError) {
                return try LoopbackSockets(use, at: port)
            } catch {
                // A port that is free for one socket may be taken for the next one.
                guard error.code == EADDRINUSE, attempt < attempts else {
                    throw .kernel("cannot open the sockets that packets are redirected to: \(error)")
                }
            }
        }
    }

    private init(_ use: Use, at port: UInt16) throws(SystemCallError) {
        try owned.withLock { owned throws(SystemCallError) in
            let hasDatagrams = use == .dns
            let first = try Self.bind(AF_INET, hasDatagrams ? SOCK_DGRAM : SOCK_STREAM, port: port)
            if hasDatagrams { owned.udp.ipv4 = first } else { owned.tcp.ipv4 = first }
            owned.port = try RawSocketAddress(of: first).port
            if hasDatagrams { owned.tcp.ipv4 = try Self.bind(AF_INET, SOCK_STREAM, port: owned.port) }
            guard Self.hasIPv6() else { return }
            if hasDatagrams { owned.udp.ipv6 = try Self.bind(AF_INET6, SOCK_DGRAM, port: owned.port) }
            owned.tcp.ipv6 = try Self.bind(AF_INET6, SOCK_STREAM, port: owned.port)
        }
    }

    deinit { owned.withLock { for descriptor in $0.udp.all + $0.tcp.all { close(descriptor) } } }

    var port: UInt16 { owned.withLock(\.port) }
    /// The sockets that listen.
    var tcp: Family { owned.withLock(\.tcp) }

    /// The sockets, for the DNS filter, which closes them.
    func handOver() -> DNSSockets {
        owned.withLock { owned in
            defer { (owned.udp, owned.tcp) = (Family(), Family()) }
            return DNSSockets(udp: owned.udp.all, tcp: owned.tcp.all, tcpIsRedirected: true)
        }
    }

    private static func hasIPv6() -> Bool {
        guard let descriptor = try? bind(AF_INET6, SOCK_DGRAM, port: 0) else { return false }
        close(descriptor)
        return true
    }

    private static func bind(_ family: Int32, _ type: __socket_type, port: UInt16) throws(SystemCallError) -> CInt {
        let flags = Int32(type.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = try FileDescriptor(socket(family, flags, 0))
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        if family == AF_INET6 { setsockopt(descriptor.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
        let loopback = IPAddress(family == AF_INET ? "127.0.0.1" : "::1")!
        guard RawSocketAddress(loopback, port: port).bind(descriptor.number) == 0,
            type != SOCK_STREAM || listen(descriptor.number, backlog) == 0
        else { throw .last }
        return descriptor.release()
    }
}
