import Addresses
import DNSFilter
import Glibc
import System
import Testing

@testable import Egress

/// Sockets that have one owner.
@Suite struct LoopbackSocketsTests {
    private func isListening(_ port: UInt16) throws -> Bool {
        let descriptor = try FileDescriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        return RawSocketAddress(IPAddress("127.0.0.1")!, port: port).connect(descriptor.number) == 0
    }

    @Test(arguments: [LoopbackSockets.Use.dns, .flowCheck]) func `sockets are closed with their owner`(
        _ use: LoopbackSockets.Use
    ) throws {
        var sockets: LoopbackSockets? = try .open(use)
        let port = try #require(sockets?.port)
        #expect(try isListening(port))
        sockets = nil
        #expect(try !isListening(port))
    }

    @Test func `a port that a sandbox's programs want is left to them`() throws {
        // The kernel would give execd's away now and then, and no API would start beside it.
        let sockets = try (0..<100).map { try LoopbackSockets.open($0 % 2 == 0 ? .dns : .flowCheck) }
        #expect(sockets.allSatisfy { LoopbackSockets.preferred.contains($0.port) })
    }

    @Test func `sockets that were handed over stay open without their first owner, and are handed over once`() throws {
        var sockets: LoopbackSockets? = try .open(.dns)
        let port = try #require(sockets?.port)
        let taken = try #require(sockets?.handOver())
        defer { for descriptor in taken.udp + taken.tcp { close(descriptor) } }
        #expect(!taken.udp.isEmpty && !taken.tcp.isEmpty && taken.tcpIsRedirected)
        #expect(sockets?.handOver().tcp.isEmpty == true)
        sockets = nil
        #expect(try isListening(port))
    }
}
