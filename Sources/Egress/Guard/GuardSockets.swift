import Addresses
import CLinux
import DNSFilter
import Glibc
import System

/// The DNS sockets of one sandbox: loopback of its namespace, one port for UDP and TCP, IPv4 and IPv6. Redirected
/// packets arrive on loopback, where nothing from outside the namespace can.
struct GuardSockets: Sendable {
    var dns: DNSSockets
    var port: UInt16

    /// The listen backlog: TCP connections waiting to be accepted.
    private static let backlog: Int32 = 64
    private static let attempts = 64

    /// Call on a thread that is in the namespace; the descriptors stay bound to it. The kernel chooses the port, since
    /// a running sandbox (during recovery) may hold any fixed one.
    static func open() throws(EgressError) -> GuardSockets {
        var lastError: Int32 = 0
        for _ in 0..<attempts {
            var sockets = GuardSockets(dns: DNSSockets(udp: [], tcp: [], tcpIsRedirected: true), port: 0)
            do throws(SocketError) {
                let first = try bind(AF_INET, SOCK_DGRAM, port: 0)
                sockets.dns.udp.append(first)
                sockets.port = try port(of: first)
                sockets.dns.tcp.append(try bind(AF_INET, SOCK_STREAM, port: sockets.port))
                if hasIPv6() {
                    sockets.dns.udp.append(try bind(AF_INET6, SOCK_DGRAM, port: sockets.port))
                    sockets.dns.tcp.append(try bind(AF_INET6, SOCK_STREAM, port: sockets.port))
                }
                return sockets
            } catch {
                sockets.close()
                lastError = error.code
                guard error.code == EADDRINUSE else { break }
            }
        }
        throw .kernel("cannot open the DNS sockets: \(String(cString: strerror(lastError)))")
    }

    /// The sockets of the flow check: like the filter's, but TCP only. Call on a thread in the namespace.
    static func openFlowListeners() throws(EgressError) -> FlowChecker.Listeners {
        var lastError: Int32 = 0
        for _ in 0..<attempts {
            var listeners = FlowChecker.Listeners(port: 0)
            do throws(SocketError) {
                let first = try bind(AF_INET, SOCK_STREAM, port: 0)
                listeners.ipv4 = first
                listeners.port = try port(of: first)
                if hasIPv6() { listeners.ipv6 = try bind(AF_INET6, SOCK_STREAM, port: listeners.port) }
                return listeners
            } catch {
                listeners.close()
                lastError = error.code
                guard error.code == EADDRINUSE else { break }
            }
        }
        throw .kernel("cannot open the sockets of the flow check: \(String(cString: strerror(lastError)))")
    }

    func close() {
        for descriptor in dns.udp + dns.tcp { Glibc.close(descriptor) }
    }

    private struct SocketError: Error {
        let code: Int32
        init() { code = errno }
    }

    private static func hasIPv6() -> Bool {
        guard let descriptor = try? bind(AF_INET6, SOCK_DGRAM, port: 0) else { return false }
        Glibc.close(descriptor)
        return true
    }

    private static func bind(_ family: Int32, _ type: __socket_type, port: UInt16) throws(SocketError) -> CInt {
        let flags = Int32(type.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(family, flags, 0)
        guard descriptor >= 0 else { throw SocketError() }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        if family == AF_INET6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
        let loopback = IPAddress(family == AF_INET ? "127.0.0.1" : "::1")!
        let status = RawSocketAddress(loopback, port: port).bind(descriptor)
        if status != 0 || (type == SOCK_STREAM && listen(descriptor, backlog) != 0) {
            let failure = SocketError()
            Glibc.close(descriptor)
            throw failure
        }
        return descriptor
    }

    private static func port(of descriptor: CInt) throws(SocketError) -> UInt16 {
        guard let bound = try? RawSocketAddress(of: descriptor) else { throw SocketError() }
        return bound.port
    }
}
