import Addresses
import NetworkPolicy
import System
import Testing

@testable import Netfilter

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct ListeningSocketsTests {
    /// A socket that is bound to a port of loopback, and its port.
    private func bound(_ address: String = "127.0.0.1") -> (socket: CInt, port: UInt16) {
        let ip = IPAddress(address)!
        let socket = Glibc.socket(ip.isIPv4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #expect(RawSocketAddress(ip, port: 0).bind(socket) == 0)
        var place = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        withUnsafeMutablePointer(to: &place) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(socket, $0, &length) }
        }
        // At the same place in both families.
        return (socket, UInt16(bigEndian: place.sin6_port))
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func `who listens on a port is known, from when it listens`(
        _ address: String
    ) throws {
        let (socket, port) = bound(address)
        defer { close(socket) }
        #expect(try ListeningSockets().users(ofPort: port) == [])
        listen(socket, 1)
        #expect(try ListeningSockets().users(ofPort: port) == [getuid()])
    }

    @Test func `a socket that listens has the inode and the cookie that its own descriptor tells`() throws {
        let (socket, port) = bound(), (other, otherPort) = bound()
        defer { for one in [socket, other] { close(one) } }
        for one in [socket, other] { listen(one, 1) }
        let found = try ListeningSockets().listeners(atPort: port)
        var status = stat()
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        #expect(fstat(socket, &status) == 0 && getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0)
        #expect(found == [.init(user: getuid(), inode: UInt32(status.st_ino), cookie: cookie)])
        #expect(try ListeningSockets().listeners(atPort: otherPort).isDisjoint(with: found))
        #expect(try ListeningSockets().listeners(atPort: port, reachedAt: IPAddress("::1")).isEmpty)
        #expect(ListeningSockets.listener(in: [UInt8](repeating: 0, count: 71), atPort: 0) == nil, "it is cut short")
    }

    @Test func `who takes IPv6 alone takes nothing of IPv4`() throws {
        let socket = Glibc.socket(AF_INET6, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(socket) }
        var on: CInt = 1
        let size = socklen_t(MemoryLayout<CInt>.size)
        #expect(setsockopt(socket, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, size) == 0)
        #expect(RawSocketAddress(everywhereIPv4: false, port: 0).bind(socket) == 0 && listen(socket, 1) == 0)
        let port = try RawSocketAddress(of: socket).port
        #expect(try ListeningSockets().listeners(atPort: port, reachedAt: IPAddress("127.0.0.1")).isEmpty)
        #expect(try ListeningSockets().listeners(atPort: port, reachedAt: IPAddress("::1")).count == 1)
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func `the other end of a connection is known, and has an inode when a program has accepted it`(
        _ address: String
    ) throws {
        let (server, port) = bound(address), (client, clientPort) = bound(address)
        defer { for one in [server, client] { close(one) } }
        listen(server, 1)
        let ip = try #require(IPAddress(address)), sockets = try ListeningSockets()
        #expect(try sockets.accepted(at: ip, port, from: ip, clientPort) == nil, "it only listens")
        #expect(RawSocketAddress(ip, port: port).connect(client) == 0)
        #expect(try sockets.accepted(at: ip, port, from: ip, clientPort)?.inode == 0)
        let accepted = accept(server, nil, nil)
        defer { close(accepted) }
        var status = stat()
        #expect(fstat(accepted, &status) == 0)
        #expect(try sockets.accepted(at: ip, port, from: ip, clientPort)?.inode == UInt32(status.st_ino))
    }

    @Test func `a socket that was given away is its new owner's`() throws {
        let (socket, port) = bound()
        defer { close(socket) }
        #expect(fchown(socket, 12345, 12345) == 0)
        listen(socket, 1)
        #expect(try ListeningSockets().users(ofPort: port) == [12345])
    }
}
