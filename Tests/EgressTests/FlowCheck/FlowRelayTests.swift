import Glibc
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress
@testable import FlowCheck

/// What becomes of flows that passed the check.
@Suite(.serialized) struct FlowRelayTests {
    private func run(
        _ policy: String, _ body: (GuardedNetwork, EgressNode, NamedServer) async throws -> Void
    ) async throws {
        try await GuardedNetwork.run(policy, flowCheck: FlowCheckSettings()) { (guarded, node) async throws in
            try await body(guarded, node, try NamedServer(in: guarded.network.outside))
        }
    }

    /// A connection that passed the check.
    private func open(
        _ name: String, _ guarded: GuardedNetwork, address: String = "198.51.100.1"
    ) throws -> NamedClient {
        let client = try NamedClient(address, 443, from: guarded.network.sandbox)
        client.send(TestHello(name).bytes)
        try #require(client.read(NamedServer.serverHello.count) == NamedServer.serverHello)
        return client
    }

    private func echoes(_ client: NamedClient, _ text: String) -> Bool {
        client.send(Array(text.utf8)) && client.read(text.utf8.count) == Array(text.utf8)
    }

    /// FNV-1a, over what passes.
    private static func mix(_ hash: UInt64, _ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(hash) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    @Test func `much passes whole in both ways, and each way ends by itself`() async throws {
        try await run("deny one.example") { (guarded, _, _) async throws in
            for (address, type) in [("198.51.100.1", DNSMessages.a), ("2001:db8::1", DNSMessages.aaaa)] {
                _ = try guarded.resolve("one.example", type: type)
                let client = try open("one.example", guarded, address: address)
                let descriptor = client.descriptor
                let total = 24 << 20
                let sent = Mutex<UInt64?>(nil)
                // The reader begins late, so that everything on the way fills up.
                BackgroundThread.start {
                    var random = SystemRandomNumberGenerator()
                    var hash: UInt64 = 0, left = total
                    while left > 0 {
                        let part = (0..<min(left, Int.random(in: 1...8192, using: &random))).map { _ in
                            UInt64.random(in: .min ... .max, using: &random)
                        }
                        var bytes = part.flatMap { word in withUnsafeBytes(of: word) { Array($0) } }[...]
                        bytes = bytes.prefix(left)
                        left -= bytes.count
                        hash = Self.mix(hash, bytes)
                        while !bytes.isEmpty {
                            let count = Array(bytes).withUnsafeBytes {
                                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                            }
                            guard count > 0 else { return }
                            bytes = bytes.dropFirst(count)
                        }
                    }
                    shutdown(descriptor, Int32(SHUT_WR))
                    sent.withLock { $0 = hash }
                }
                var received: UInt64 = 0, count = 0
                var buffer = [UInt8](repeating: 0, count: 1 << 16)
                while true {
                    let part = recv(descriptor, &buffer, buffer.count, 0)
                    guard part > 0 else { break }
                    received = Self.mix(received, buffer[..<part])
                    count += part
                }
                #expect(count == total)
                #expect(try await eventually { sent.withLock { $0 } == received })
            }
        }
    }

    @Test func `an end on one side leaves the other way open`() async throws {
        try await run("deny one.example") { (guarded, _, _) async throws in
            _ = try guarded.resolve("one.example")
            let client = try open("one.example", guarded)
            #expect(echoes(client, "before"))
            client.send(Array("last".utf8))
            client.finish()
            #expect(client.readAll() == "last")
        }
    }

    @Test func `E15 a revocation ends the flows of its name, and others live on`() async throws {
        try await run("deny one.example tenant.example two.example") { (guarded, node, _) async throws in
            for name in ["one.example", "tenant.example", "two.example"] { _ = try guarded.resolve(name) }
            let doomed = try open("one.example", guarded)
            let sameAddress = try open("tenant.example", guarded)
            let other = try open("two.example", guarded, address: "198.51.100.2")
            for client in [doomed, sameAddress, other] { #expect(echoes(client, "before")) }
            try await node.removeRules(GuardedNetwork.id, [RuleSelector("one.example")])
            #expect(doomed.isOver, "dead once the answer is there")
            #expect(echoes(sameAddress, "after") && echoes(other, "after"))
            try await node.replace(GuardedNetwork.id, with: .denyAll)
            #expect(sameAddress.isOver && other.isOver)
            #expect(try NamedClient("198.51.100.2", 443, from: guarded.network.sandbox).status == ECONNREFUSED)
        }
    }

    @Test func `E15 a flow that only the address let pass dies when names alone are left`() async throws {
        try await run("deny 198.51.100.1 one.example") { (guarded, node, _) async throws in
            _ = try guarded.resolve("one.example")
            let (direct, status) = try Probe.open(
                Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: EchoServer.port, from: guarded.network.sandbox)
            defer { close(direct) }
            #expect(status == 0 && Probe.say("a", on: direct) == .echoed)
            try await node.removeRules(GuardedNetwork.id, [RuleSelector("198.51.100.1")])
            #expect(Probe.say("b", on: direct) != .echoed)
            _ = try open("one.example", guarded)
        }
    }

    @Test func `E22 checked flows end with the guard, nothing is open after it, and the next one takes over`()
        async throws
    {
        let guarded = try GuardedNetwork(flowCheck: FlowCheckSettings())
        let server = try NamedServer(in: guarded.network.outside)
        let first = try await guarded.node()
        try await first.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny one.example"))
        _ = try guarded.resolve("one.example")
        let client = try open("one.example", guarded)
        await first.shutdown()
        #expect(client.isOver)
        let met = server.met
        // Nothing listens where the rules lead, once its thread has ended.
        #expect(
            try await eventually {
                try NamedClient("198.51.100.1", 443, from: guarded.network.sandbox).status == ECONNREFUSED
            })
        #expect(server.met == met)
        let second = try await guarded.node()
        #expect(echoes(try open("one.example", guarded), "again"))
        await second.shutdown()
    }

    @Test func `more flows than may be are reset, and others than this sandbox's never notice`() async throws {
        let settings = FlowCheckSettings(flowsPerSandbox: 8)
        try await GuardedNetwork.run("deny one.example", flowCheck: settings) { (guarded, _) async throws in
            let server = try NamedServer(in: guarded.network.outside)
            _ = try guarded.resolve("one.example")
            var silent = try (0..<8).map { _ in try NamedClient("198.51.100.1", 443, from: guarded.network.sandbox) }
            let ninth = try NamedClient("198.51.100.1", 443, from: guarded.network.sandbox)
            ninth.send(TestHello("one.example").bytes)
            #expect(ninth.isOver && server.met == 0)
            silent.removeAll()
            #expect(
                try await eventually {
                    let client = try NamedClient("198.51.100.1", 443, from: guarded.network.sandbox)
                    client.send(TestHello("one.example").bytes)
                    return client.read(NamedServer.serverHello.count) == NamedServer.serverHello
                })
        }
    }

    @Test func `a refusal is an event`() async throws {
        try await run("deny one.example") { (guarded, node, _) async throws in
            _ = try guarded.resolve("one.example")
            let client = try NamedClient("198.51.100.1", 443, from: guarded.network.sandbox)
            client.send(TestHello("tenant.example").bytes)
            #expect(client.read(7).count == 7)
            let log = try await node.events(GuardedNetwork.id)
            let event = try #require(log.events(after: nil).events.map(\.event).first { $0.name == "flowRefused" })
            let text = event.encodedJSON(sandbox: "a")
            let source = TestNetwork.sandboxAddress
            #expect(text.contains(#""address":"198.51.100.1","port":443,"source":"\#(source)","sourcePort":"#))
            #expect(text.contains(#","protocol":"tls","name":"tenant.example""#))
            #expect(text.contains("denied by default"))
        }
    }

    @Test func `E18 a raw packet does not ride on a checked flow`() async throws {
        for settings in [FlowCheckSettings(), nil] {
            try await GuardedNetwork.run("deny one.example", flowCheck: settings) { (guarded, _) async throws in
                let server = try NamedServer(in: guarded.network.outside)
                _ = try guarded.resolve("one.example")
                let sink = try PacketSink(in: guarded.network.outside, device: "host0")
                let client = try open("one.example", guarded)
                #expect(echoes(client, "before"))
                // Its last packet once more, as whoever sees it could send it.
                let flow = try #require(sink.packets().last { $0.transport == 6 && $0.destinationPort == 443 })
                let passes = try RawPacket.send(
                    Array(flow.frame[14...]), to: "198.51.100.1", from: guarded.network.sandbox)
                #expect(passes == (settings == nil))
                #expect(echoes(client, "after") && server.met == 1)
            }
        }
    }
}
