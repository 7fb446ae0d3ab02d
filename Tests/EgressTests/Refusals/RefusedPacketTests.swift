import Addresses
import Foundation
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// Packets that the kernel refuses, in real namespaces: what an operator and the sandbox's owner see of them.
@Suite(.serialized) struct RefusedPacketTests {
    private func refusals(_ guardian: EgressGuard) -> [PacketRefusal] {
        guardian.readRefusals()
        return guardian.events.events(after: nil).events.compactMap {
            if case .packetsRefused(let refusal) = $0.event.kind { refusal } else { nil }
        }
    }

    /// The first event to an address, once the kernel has handed it over.
    private func refusal(_ guardian: EgressGuard, to address: String, port: UInt16? = nil) async throws -> PacketRefusal
    {
        var found: PacketRefusal?
        let came = try await eventually {
            found = refusals(guardian).first {
                $0.header?.destination.description == address && (port == nil || $0.header?.ports?.destination == port)
            }
            return found != nil
        }
        #expect(came, "nothing was told of \(address)")
        return try #require(found)
    }

    @Test func `each way to be refused is an event that says what it was, and why`() async throws {
        try await GuardedNetwork.run("deny one.example:7/tcp 203.0.113.0/24") { (guarded, node) async throws in
            let guardian = try node.guardian(of: GuardedNetwork.id)
            #expect(guardian.reporting == .logged, "this machine's kernel has nfnetlink_log")
            // An address that nobody has asked for.
            #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED))
            let raw = try await refusal(guardian, to: "198.51.100.2")
            #expect(raw.reason == .policy && raw.verdict == Verdict(action: .deny, reason: .defaultAction))
            #expect(raw.header?.source.description == TestNetwork.sandboxAddress)
            #expect(raw.header?.transport == IPProtocol.tcp && raw.header?.ports?.destination == EchoServer.port)
            // IPv6, and UDP.
            _ = try guarded.datagram("2001:db8::2")
            let six = try await refusal(guardian, to: "2001:db8::2")
            #expect(six.header?.transport == IPProtocol.udp && six.reason == .policy)
            // The wrong port and the wrong protocol of a name that is open.
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            #expect(try Probe.stream("198.51.100.1", port: 8, from: guarded.network.sandbox) == .failed(ECONNREFUSED))
            _ = try guarded.datagram("198.51.100.1")
            #expect(try await refusal(guardian, to: "198.51.100.1", port: 8).verdict.isAllowed == false)
            let datagram = try await eventually {
                refusals(guardian).contains {
                    $0.header?.destination.description == "198.51.100.1" && $0.header?.transport == IPProtocol.udp
                }
            }
            #expect(datagram)
            // What no policy opens.
            #expect(try guarded.stream("169.254.169.254") == .failed(ECONNREFUSED))
            #expect(try await refusal(guardian, to: "169.254.169.254").reason == .protected)
            // Another protocol.
            #expect(try !Probe.raw("198.51.100.3", protocol: 47, from: guarded.network.sandbox))
            let other = try await refusal(guardian, to: "198.51.100.3")
            #expect(other.header?.transport == 47 && other.header?.ports == nil)
            // What passed is in no event.
            #expect(
                !refusals(guardian).contains {
                    $0.header?.destination.description == "198.51.100.1" && $0.header?.transport == IPProtocol.tcp
                        && $0.header?.ports?.destination == EchoServer.port
                })
        }
    }

    @Test func `what a packet socket sends and who connects from elsewhere is told, as kinds of their own`()
        async throws
    {
        try await GuardedNetwork.run("deny") { (guarded, node) async throws in
            let guardian = try node.guardian(of: GuardedNetwork.id)
            #expect(guardian.refusals?.packetReporting == .logged, "this machine's kernel logs for devices")
            // A frame with an IPv4 packet to an address that is open to nobody.
            let packet = RawPacket.udp(from: TestNetwork.sandboxAddress, 4000, to: "198.51.100.2", 4001, [1, 2, 3])
            try RawPacket.frame(packet, kind: 0x0800, device: "eth0", from: guarded.network.sandbox)
            let frame = try await refusal(guardian, to: "198.51.100.2")
            #expect(frame.reason == .packetSocket && frame.header?.ports == .init(source: 4000, destination: 4001))
            #expect("\(frame.verdict)" == "denied: a packet socket sent it past the rules")
            // One that is not IP, of which there is nothing to say but that it was.
            try RawPacket.frame(
                [UInt8](repeating: 0, count: 60), kind: 0x88b5, device: "eth0", from: guarded.network.sandbox)
            let other = try await eventually {
                refusals(guardian).contains { $0.reason == .packetSocket && $0.header == nil }
            }
            #expect(other)
            // Somebody beyond the link, and before it somebody on it, who may.
            #expect(
                try Probe.stream(TestNetwork.sandboxAddress, port: 9, from: guarded.network.outside)
                    == .failed(ECONNREFUSED))
            let far = RawPacket.udp(from: "198.51.100.3", 7, to: TestNetwork.sandboxAddress, 7, [1])
            #expect(try RawPacket.send(far, to: TestNetwork.sandboxAddress, from: guarded.network.outside))
            let inbound = try await refusal(guardian, to: TestNetwork.sandboxAddress, port: 7)
            #expect(inbound.reason == .inbound && inbound.header?.source.description == "198.51.100.3")
            #expect(
                !refusals(guardian).contains { $0.header?.ports?.destination == 9 }, "who may connect is not refused")
        }
    }

    @Test func `counts go on when the tables are put back`() async throws {
        let guarded = try GuardedNetwork(), (namespace, services) = try alone(guarded), guardian = namespace.guardian
        let log = try #require(guardian.refusals)
        var counted = 0, told = 0, omitted = 0
        func look(until count: Int) async throws {
            let isWhole = try await eventually {
                let batch = log.read()
                counted += batch.counted[.policy] ?? 0
                told += batch.packets.count { $0.reason == .policy }
                omitted += batch.omitted
                return counted == count && told + omitted == count
            }
            #expect(isWhole, "\(counted) counted, \(told) told, \(omitted) not, of \(count)")
        }
        _ = log.read()
        for _ in 0..<5 { #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED)) }
        try await look(until: 5)
        // Three that nobody has read yet, and then new tables, which count eight: more than the old ones had.
        for _ in 0..<3 { #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED)) }
        try Command.run("nsenter", "--net=\(guarded.network.sandbox.path)", "nft", "add", "table", "inet", "other")
        #expect(try guardian.restore())
        for _ in 0..<8 { #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED)) }
        try await look(until: 16)
        namespace.end()
        services.stop()
    }

    @Test func `a link that comes up makes no event`() async throws {
        try await GuardedNetwork.run("deny") { (guarded, node) async throws in
            let guardian = try node.guardian(of: GuardedNetwork.id)
            // The kernel reports its groups (MLD) when an address is added.
            try guarded.network.sandbox.ip("address add fd00:98::2/64 dev eth0")
            try guarded.network.sandbox.ip("link set eth0 down")
            try guarded.network.sandbox.ip("link set eth0 up")
            try guarded.network.sandbox.ip("route add default via \(TestNetwork.gateway)")
            _ = try guarded.stream("198.51.100.2")
            _ = try await refusal(guardian, to: "198.51.100.2")
            #expect(!refusals(guardian).contains { $0.header?.transport == IPProtocol.icmpv6 })
        }
    }

    @Test func `a budget that is used up names itself`() async throws {
        let guarded = try GuardedNetwork()
        guarded.configuration.budgets.connectionsPerSecond = 1
        let node = try await guarded.node()
        try await node.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny 198.51.100.0/24")
        )
        for _ in 0..<10 { _ = try guarded.stream("198.51.100.1") }
        let told = try await refusal(try node.guardian(of: GuardedNetwork.id), to: "198.51.100.1")
        #expect(told.reason == .connectionsPerSecond)
        #expect("\(told.verdict)" == "denied: the budget connectionsPerSecond is used up")
        await node.shutdown()
    }

    /// A guard that nobody else reads.
    private func alone(_ guarded: GuardedNetwork) throws -> (guard: GuardedNamespace, services: GuardServices) {
        let services = try GuardServices(dns: guarded.configuration.dns, flowCheck: nil)
        let record = GuardRecord(
            id: GuardedNetwork.id, namespacePath: guarded.network.sandbox.path, token: "t", policy: .denyAll)
        let made = try GuardedNamespace(
            record, in: GuardPlace(namespace: guarded.network.sandbox), settings: GuardSettings(guarded.configuration),
            services: services, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return (made, services)
    }

    @Test func `a flood is counted by the kernel, and the guard reads what the limit lets by`() async throws {
        let guarded = try GuardedNetwork(), (namespace, services) = try alone(guarded)
        let log = try #require(namespace.guardian.refusals)
        _ = log.read()
        let clock = ContinuousClock(), begin = clock.now
        let sent = try guarded.network.sandbox.run { () -> Int in
            let target = SocketAddressBytes("198.51.100.1", 9)
            let descriptor = socket(target.family, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            let bytes = [UInt8](repeating: 0, count: 64)
            return (0..<20_000).count { _ in
                target.with({ sendto(descriptor, bytes, bytes.count, 0, $0, $1) }) < 0 && errno == EPERM
            }
        }
        let seconds = Int((clock.now - begin).components.seconds) + 1
        let most = Int(RefusalReporting.burst) + Int(RefusalReporting.packetsPerSecond) * seconds
        var packets = 0, counted = 0, omitted = 0
        let isWhole = try await eventually {
            let batch = log.read()
            packets += batch.packets.count
            counted += batch.counted[.policy] ?? 0
            omitted += batch.omitted
            return counted == sent && packets + omitted == sent
        }
        #expect(isWhole && sent == 20_000, "\(packets) told, \(omitted) not, \(counted) counted of \(sent)")
        #expect((1...most).contains(packets), "\(packets) messages of \(sent) packets in \(seconds) s")
        namespace.end()
        services.stop()
    }

    @Test func `while somebody else has the kernel's messages, the counters tell how many there were`() async throws {
        let guarded = try GuardedNetwork()
        var holder: PacketLog? = try guarded.network.sandbox.run {
            try PacketLog(group: RefusalReporting.group, bytesOfPacket: 64)
        }
        #expect(try holder?.listen() == true)
        let (namespace, services) = try alone(guarded), guardian = namespace.guardian
        for _ in 0..<3 { #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED)) }
        let counted = try await eventually { !refusals(guardian).isEmpty }
        #expect(
            counted
                && refusals(guardian) == [
                    PacketRefusal(
                        reason: .policy, header: nil,
                        verdict: Verdict(action: .deny, reason: .guardrail("the policy does not open it")), count: 3)
                ])
        holder = nil
        _ = refusals(guardian)
        #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED))
        _ = try await refusal(guardian, to: "198.51.100.2")
        namespace.end()
        services.stop()
    }
}
