import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// Ports and protocols by packets: what a rule names passes, what it does not name is refused.
@Suite(.serialized) struct PortTests {
    /// A guarded sandbox whose outside answers on every port: all lead to the echo server.
    private func run(_ json: String, _ body: (GuardedNetwork, EgressNode) async throws -> Void) async throws {
        try await GuardedNetwork.run("deny") { (guarded, node) async throws in
            var transaction = Transaction()
            transaction.addTable("test")
            transaction.addChain(
                "in", table: "test", base: BaseChain(.nat, .prerouting, priority: -100, dropsByDefault: false))
            for transport in [IPProtocol.tcp, IPProtocol.udp] {
                let rule = [Netfilter.Expression].transport(transport) + [.redirect(port: EchoServer.port)]
                transaction.addRule("in", table: "test", rule)
            }
            let outside = try guarded.network.outside.run { try NetfilterSocket() }
            try outside.commit(transaction)
            try await node.replace(GuardedNetwork.id, with: policy(json))
            try await body(guarded, node)
        }
    }

    private func policy(_ json: String) throws -> Policy { try Policy.decode(json: Array(json.utf8)) }

    private func stream(_ guarded: GuardedNetwork, _ address: String, _ port: UInt16) throws -> Probe.Outcome {
        try Probe.stream(address, port: port, from: guarded.network.sandbox)
    }
    private func datagram(_ guarded: GuardedNetwork, _ address: String, _ port: UInt16) throws -> Probe.Outcome {
        try Probe.datagram(address, port: port, from: guarded.network.sandbox)
    }
    private let refused = Probe.Outcome.failed(ECONNREFUSED)

    @Test func `a name opens the ports that its rule names, of both families, and no others`() async throws {
        let json = #"{"egress":[{"action":"allow","target":"one.example","ports":[443,"8000-8002"],"protocol":"tcp"}]}"#
        try await run(json) { (guarded, node) async throws in
            #expect(try stream(guarded, "198.51.100.1", 443) == refused, "not yet resolved")
            _ = try guarded.resolve("one.example")
            _ = try guarded.resolve("one.example", type: DNSMessages.aaaa)
            for address in ["198.51.100.1", "2001:db8::1"] {
                for port: UInt16 in [443, 8000, 8001, 8002] {
                    #expect(try stream(guarded, address, port) == .echoed, "\(address) \(port)")
                }
                for port: UInt16 in [1, 442, 444, 7999, 8003, 65535] {
                    #expect(try stream(guarded, address, port) == refused, "\(address) \(port)")
                }
                #expect(try datagram(guarded, address, 443) != .echoed)
                #expect(try Probe.ping(address, from: guarded.network.sandbox) != .echoed)
            }
            #expect(try stream(guarded, "198.51.100.2", 443) == refused, "another address")
            try await node.replace(
                GuardedNetwork.id, with: policy(#"{"egress":[{"action":"allow","target":"one.example"}]}"#))
            #expect(try stream(guarded, "198.51.100.1", 444) == .echoed, "the element has its new profile")
            #expect(try datagram(guarded, "198.51.100.1", 443) == .echoed)
        }
    }

    @Test func `protocols are told apart for addresses`() async throws {
        let json = #"""
            {"egress":[{"action":"allow","target":"198.51.100.1","protocol":"icmp"},
            {"action":"allow","target":"198.51.100.2","protocol":"udp","ports":[9]},
            {"action":"allow","target":"198.51.100.3","protocol":"any"},
            {"action":"allow","target":"2001:db8::1","protocol":"icmp"}]}
            """#
        try await run(json) { (guarded, _) async throws in
            let sandbox = guarded.network.sandbox
            for address in ["198.51.100.1", "2001:db8::1"] {
                #expect(try Probe.ping(address, from: sandbox) == .echoed)
                #expect(try stream(guarded, address, 443) == refused)
            }
            #expect(try datagram(guarded, "198.51.100.2", 9) == .echoed)
            #expect(try datagram(guarded, "198.51.100.2", 10) != .echoed)
            #expect(try stream(guarded, "198.51.100.2", 9) == refused)
            #expect(try stream(guarded, "198.51.100.3", 443) == .echoed)
            for number: Int32 in [132, 47] {
                #expect(try Probe.raw("198.51.100.3", protocol: number, from: sandbox), "protocol \(number)")
                #expect(try !Probe.raw("198.51.100.1", protocol: number, from: sandbox), "protocol \(number)")
            }
        }
    }

    @Test func `the first rule that matches the packet decides`() async throws {
        let json = #"""
            {"defaultAction":"allow","egress":[{"action":"deny","target":"one.example","ports":[25]},
            {"action":"allow","target":"198.51.100.2","ports":[80]},{"action":"deny","target":"198.51.100.0/24","ports":["1-1023"]},
            {"action":"deny","target":"198.51.100.2"}]}
            """#
        try await run(json) { (guarded, _) async throws in
            #expect(try stream(guarded, "198.51.100.2", 80) == .echoed)
            #expect(try stream(guarded, "198.51.100.2", 81) == refused)
            #expect(try stream(guarded, "198.51.100.2", 8080) == refused)
            #expect(try stream(guarded, "198.51.100.3", 8080) == .echoed)
            #expect(try stream(guarded, "2001:db8::1", 25) == .echoed, "no name has taught it")
            #expect(try guarded.resolve("one.example", type: DNSMessages.aaaa) == ["2001:db8::1"])
            #expect(try stream(guarded, "2001:db8::1", 25) == refused)
            #expect(try stream(guarded, "2001:db8::1", 26) == .echoed)
        }
    }

    @Test func `a private address is open as its address rule says, whatever name leads there`() async throws {
        let json =
            #"{"egress":[{"action":"allow","target":"rebind.example"},{"action":"allow","target":"10.99.0.1","ports":[443]}]}"#
        try await run(json) { (guarded, _) async throws in
            #expect(try guarded.resolve("rebind.example") == ["10.99.0.1"])
            #expect(try stream(guarded, TestNetwork.gateway, 443) == .echoed)
            #expect(try stream(guarded, TestNetwork.gateway, 444) == refused)
        }
    }

    @Test func `E15 a connection dies when its port is no longer allowed, and others live on`() async throws {
        let json = #"{"egress":[{"action":"allow","target":"one.example","ports":[22,443]}]}"#
        try await run(json) { (guarded, node) async throws in
            _ = try guarded.resolve("one.example")
            let descriptors = try [UInt16(22), 443].map { port in
                let (descriptor, status) = try Probe.open(
                    Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: port, from: guarded.network.sandbox)
                #expect(status == 0 && Probe.say("a", on: descriptor) == .echoed)
                return descriptor
            }
            defer { descriptors.forEach { close($0) } }
            try await node.patch(
                GuardedNetwork.id,
                [Rule(action: .allow, text: "one.example", scope: TrafficScope(ports: [443...443]))])
            #expect(Probe.say("b", on: descriptors[0]) != .echoed, "dead once the answer is there")
            #expect(Probe.say("c", on: descriptors[1]) == .echoed)
            #expect(try stream(guarded, "198.51.100.1", 22) == refused)
            #expect(try stream(guarded, "198.51.100.1", 443) == .echoed)
        }
    }

    @Test func `E22 after a restart a learned address is open as before, no wider`() async throws {
        let json = #"{"egress":[{"action":"allow","target":"one.example","ports":[443]}]}"#
        try await run(json) { (guarded, first) async throws in
            _ = try guarded.resolve("one.example")
            await first.shutdown()
            #expect(try stream(guarded, "198.51.100.1", 443) == .echoed)
            let second = try await guarded.node()
            #expect(try stream(guarded, "198.51.100.1", 443) == .echoed)
            #expect(try stream(guarded, "198.51.100.1", 444) == refused)
            let status = try await second.status(GuardedNetwork.id)
            #expect(status.policy == (try policy(json)))
            await second.shutdown()
        }
    }
}
