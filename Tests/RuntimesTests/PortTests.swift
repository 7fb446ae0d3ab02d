import Addresses
import Foundation
import Glibc
import System
import Testing

@testable import Runtimes

@Suite struct PortTests {
    private func list(_ allow: [String], _ deny: [String] = []) -> SourceList {
        SourceList(allow: allow.map { CIDRBlock($0)! }, deny: deny.map { CIDRBlock($0)! })
    }

    @Test func `a list that is limited to another permits what both do, of either family`() {
        let lists = [
            list(["0.0.0.0/0", "::/0"]), list([]), list(["10.0.0.0/8", "2001:db8::/32"], ["10.1.0.0/16"]),
            list(["10.1.2.0/24", "10.9.9.9", "2001:db8:1::/48"], ["2001:db8:1::7"]), list(["192.0.2.1"]),
            list(["::ffff:0:0/96"]),
        ]
        let addresses = [
            "10.0.0.1", "10.1.2.3", "10.9.9.9", "11.0.0.1", "192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1",
            "2001:db8:1::1", "2001:db8:1::7", "::1", "::ffff:10.1.2.3",
        ].map { IPAddress($0)! }
        for one in lists {
            for other in lists {
                let both = one.limited(to: other)
                for address in addresses {
                    #expect(
                        both.permits(address) == (one.permits(address) && other.permits(address)),
                        "\(one) \(other) \(address)")
                }
            }
        }
    }

    @Test func `ports are given out in turn, those of others passed over, and the last one is the end`() {
        var pool = PortPool(65533...65535)
        #expect(pool.lease { _ in true } == 65533)
        #expect(pool.lease { $0 != 65534 } == 65535)
        #expect(pool.lease { _ in false } == nil)
        #expect(pool.lease { _ in true } == 65534)
        #expect(pool.lease { _ in true } == nil)
        pool.release(65535)
        pool.release(65533)
        #expect(pool.lease { _ in true } == 65535)
    }

    /// A socket of another program, on a port that the kernel chose.
    private func stranger(_ address: String = "127.0.0.1") throws -> (socket: CInt, port: UInt16) {
        let number = socket(address.contains(":") ? AF_INET6 : AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        #expect(RawSocketAddress(IPAddress(address)!, port: 0).bind(number) == 0 && listen(number, 1) == 0)
        return (number, try RawSocketAddress(of: number).port)
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func `a port that another program has is not leased`(_ address: String)
        throws
    {
        let other = try stranger(address)
        let ports = HostPorts(PortConfiguration(range: other.port...other.port))
        #expect(throws: RuntimeError.noPortLeft(range: "\(other.port) to \(other.port)")) { try ports.lease([80]) }
        close(other.socket)
        #expect(try ports.lease([80]) == [PublishedPort(port: 80, at: other.port)])
    }

    @Test func `a leased port is nobody else's until it is released, and all are leased or none`() throws {
        let other = try stranger()
        close(other.socket)
        let ports = HostPorts(PortConfiguration(range: other.port...other.port))
        #expect(throws: RuntimeError.self) { try ports.lease([80, 81]) }
        let leased = try ports.lease([80])
        func isFree() -> Bool {
            let number = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            defer { close(number) }
            return RawSocketAddress(IPAddress("127.0.0.1")!, port: other.port).bind(number) == 0
        }
        #expect(!isFree())
        ports.release(leased)
        #expect(isFree())
        #expect(ports.occupy(leased) == [] && !isFree())
        #expect(throws: RuntimeError.self) { try ports.lease([80]) }
    }

    @Test func `a list is stored as text, and what is no block is refused`() throws {
        let sources = list(["10.0.0.0/8"], ["2001:db8::/32"])
        let stored = try JSONEncoder().encode(sources)
        #expect(try JSONDecoder().decode(SourceList.self, from: stored) == sources)
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(SourceList.self, from: Data(#"{"allow":["10.0.0.0/33"],"deny":[]}"#.utf8))
        }
    }

    @Test func `rules have an end, whatever lists a create gives`() {
        var forwarding = PortForwarding(
            configuration: PortConfiguration(range: 20000...29999, sources: list(["0.0.0.0/0"])))
        let target = PortForwarding.Target(
            link: "spv", address: IPv4Address("10.0.0.2")!, addressV6: IPv6Address("fd00::2")!,
            ports: (0..<16).map { PublishedPort(port: 8000 + $0, at: 20000 + $0) },
            sources: list((1...32).map { "10.0.0.\($0)" }, (1...32).map { "10.0.1.\($0)" }))
        var count = 0
        while !forwarding.isFull {
            count += 1
            forwarding.targets["\(count)"] = target
        }
        #expect(count == PortForwarding.maxRules / (16 * 67) + 1)
    }
}
