import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// docs/threats.md, the egress half, by packets in real namespaces. Each refusal has its control: the same traffic passes
/// where the policy allows it.
@Suite(.serialized) struct EnforcementTests {
    @Test func `without a guard the outside is reachable`() throws {
        let guarded = try GuardedNetwork()
        for address in ["198.51.100.1", "2001:db8::1"] {
            #expect(try guarded.stream(address) == .echoed)
            #expect(try guarded.datagram(address) == .echoed)
            #expect(try Probe.ping(address, from: guarded.network.sandbox) == .echoed)
        }
    }

    @Test func `E7 E13 E14 a denied sandbox reaches nothing by any road, and is told so at once`() async throws {
        try await GuardedNetwork.run("deny") { (guarded, _) async throws in
            for address in ["198.51.100.1", "2001:db8::1", "169.254.169.254", TestNetwork.gateway] {
                #expect(try guarded.stream(address) == .failed(ECONNREFUSED), "\(address)")
                #expect(try guarded.datagram(address) != .echoed, "\(address)")
                #expect(try Probe.ping(address, from: guarded.network.sandbox) != .echoed, "\(address)")
            }
            for number: Int32 in [132, 47, 41, 4] {
                #expect(
                    try !Probe.raw("198.51.100.1", protocol: number, from: guarded.network.sandbox),
                    "protocol \(number)")
            }
            #expect(try guarded.resolve("one.example").isEmpty)
            #expect(guarded.upstream.questions.isEmpty, "nothing was forwarded")
        }
    }

    @Test func `E16 an allowed name is open as soon as it is answered, for TCP and UDP of both families`() async throws
    {
        try await GuardedNetwork.run("deny one.example") { (guarded, _) async throws in
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED), "not yet resolved")
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            #expect(try guarded.datagram("198.51.100.1") == .echoed)
            #expect(try guarded.stream("2001:db8::1") == .failed(ECONNREFUSED), "the AAAA was not asked for")
            #expect(try guarded.resolve("one.example", type: DNSMessages.aaaa) == ["2001:db8::1"])
            #expect(try guarded.stream("2001:db8::1") == .echoed)
            #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED), "another address")
            #expect(
                try Probe.ping("198.51.100.1", from: guarded.network.sandbox) != .echoed,
                "a name opens TCP and UDP only")
        }
    }

    @Test func `E3 whichever server is asked, the filter answers`() async throws {
        try await GuardedNetwork.run("deny one.example 198.51.100.3") { (guarded, _) async throws in
            for server in ["198.51.100.3", "198.51.100.77", "127.0.0.53", "2001:db8::99", TestNetwork.gateway] {
                let allowed = try DNSMessages.resolve("one.example", server: server, from: guarded.network.sandbox)
                #expect(allowed.addresses.map(\.description) == ["198.51.100.1"], "\(server)")
                let denied = try DNSMessages.resolve("two.example", server: server, from: guarded.network.sandbox)
                #expect(denied.code == 3 && denied.addresses.isEmpty, "\(server)")
            }
        }
    }

    @Test func `E8 an allowed name never yields or opens an inner address`() async throws {
        try await GuardedNetwork.run("deny rebind.example") { (guarded, _) async throws in
            #expect(try guarded.resolve("rebind.example").isEmpty)
            #expect(try guarded.resolve("rebind.example", type: DNSMessages.aaaa).isEmpty)
            #expect(try guarded.stream(TestNetwork.gateway) == .failed(ECONNREFUSED))
        }
        try await GuardedNetwork.run("deny rebind.example 10.99.0.1") { (guarded, _) async throws in
            #expect(try guarded.resolve("rebind.example") == ["10.99.0.1"], "an address rule lifts the filter for it")
            #expect(try guarded.stream(TestNetwork.gateway) == .echoed)
        }
    }

    @Test func `E10 a wildcard takes neither its apex nor a name that merely ends alike`() async throws {
        try await GuardedNetwork.run("deny *.wild.example") { (guarded, _) async throws in
            #expect(try guarded.resolve("sub.wild.example") == ["198.51.100.1"])
            #expect(try guarded.resolve("wild.example").isEmpty)
            #expect(try guarded.resolve("notwild.example").isEmpty)
        }
    }

    @Test func `address rules open TCP, UDP and ICMP, and the metadata address stays shut`() async throws {
        try await GuardedNetwork.run("deny 198.51.100.0/30 2001:db8::/64 169.254.169.254") {
            (guarded, _) async throws in
            for address in ["198.51.100.1", "2001:db8::2"] {
                #expect(try guarded.stream(address) == .echoed)
                #expect(try guarded.datagram(address) == .echoed)
                #expect(try Probe.ping(address, from: guarded.network.sandbox) == .echoed)
            }
            #expect(try guarded.stream("169.254.169.254") == .failed(ECONNREFUSED))
        }
    }

    @Test func `a sandbox without a policy reaches the outside, but no denied or protected address`() async throws {
        try await GuardedNetwork.run("allow 198.51.100.2 two.example") { (guarded, _) async throws in
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            #expect(try Probe.ping("2001:db8::1", from: guarded.network.sandbox) == .echoed)
            #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED))
            #expect(try guarded.stream("169.254.169.254") == .failed(ECONNREFUSED))
            #expect(try guarded.resolve("two.example").isEmpty)
        }
    }

    @Test func `the gateway reaches the sandbox, and its connection survives a change of policy`() async throws {
        try await GuardedNetwork.run("deny one.example") { (guarded, node) async throws in
            let inside = try EchoServer(in: guarded.network.sandbox)
            let (connection, status) = try Probe.open(
                Int32(SOCK_STREAM.rawValue), to: TestNetwork.sandboxAddress, port: EchoServer.port,
                from: guarded.network.outside)
            defer { close(connection) }
            #expect(status == 0 && Probe.say("in", on: connection) == .echoed)
            try await node.replace(GuardedNetwork.id, with: .denyAll)
            #expect(Probe.say("still in", on: connection) == .echoed)
            withExtendedLifetime(inside) {}
        }
    }
}
