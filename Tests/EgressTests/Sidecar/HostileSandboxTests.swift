import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

/// A sandbox that kept CAP_NET_RAW. Each trick is shown to work where nobody guards.
@Suite(.serialized) struct HostileSandboxTests {
    private static let rules = #"{"egress":[{"action":"allow","target":"one.example"}]}"#
    private static let stolen = DNSMessages.query("stolen.secret.example", type: DNSMessages.a)

    /// The source port of a query of the filter, and where it went.
    private func filterPort(_ sidecar: RunningSidecar) throws -> UInt16 {
        let sink = try PacketSink(in: sidecar.network.outside, device: "host0")
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"])
        let query = try sink.packets().first { $0.transport == 17 && $0.destinationPort == 53 }
        return try #require(query).sourcePort
    }

    @Test func `E18 a mark of its own does not make it the filter`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        let descriptor = try sidecar.network.sandbox.run { socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) }
        defer { close(descriptor) }
        Probe.limit(descriptor)
        for mark: UInt32 in [1, 0x1d, 0x5a11, .max] {
            var (mark, priority) = (mark, mark)
            let size = socklen_t(MemoryLayout<UInt32>.size)
            #expect(setsockopt(descriptor, SOL_SOCKET, SO_MARK, &mark, size) == 0)
            #expect(setsockopt(descriptor, SOL_SOCKET, SO_PRIORITY, &priority, size) == 0)
            let target = SocketAddressBytes(RunningSidecar.upstreamAddress, 53)
            _ = target.with { sendto(descriptor, Self.stolen, Self.stolen.count, 0, $0, $1) }
            var answer = [UInt8](repeating: 0, count: 512)
            let count = read(descriptor, &answer, answer.count)
            try #require(count > 3)
            #expect(answer[3] & 15 == 3, "the filter's own answer: there is no such name")
        }
        #expect(!sidecar.upstream.questions.contains("stolen.secret.example"))
    }

    @Test func `E18 a raw packet on a flow of the filter does not get out`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        let port = try filterPort(sidecar)
        let packet = RawPacket.udp(
            from: TestNetwork.sandboxAddress, port, to: RunningSidecar.upstreamAddress, 53, Self.stolen)
        let sink = try PacketSink(in: sidecar.network.outside, device: "host0")
        _ = try RawPacket.send(packet, to: RunningSidecar.upstreamAddress, from: sidecar.network.sandbox)
        #expect(try sink.packets().filter { $0.transport == 17 }.isEmpty)

        let open = try TestNetwork()
        let control = try PacketSink(in: open.outside, device: "host0")
        #expect(try RawPacket.send(packet, to: RunningSidecar.upstreamAddress, from: open.sandbox))
        #expect(try await eventually { try control.packets().contains { $0.transport == 17 } })
    }

    @Test func `E14 a packet socket does not get past the rules`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        let sink = try PacketSink(in: sidecar.network.outside, device: "host0")
        try sendFrame(in: sidecar.network)
        #expect(try sink.packets().filter { $0.transport == 17 }.isEmpty)

        let open = try TestNetwork()
        let control = try PacketSink(in: open.outside, device: "host0")
        try sendFrame(in: open)
        #expect(try await eventually { try control.packets().contains { $0.transport == 17 } })
    }

    /// With the queue passed by (PACKET_QDISC_BYPASS) and without.
    private func sendFrame(in network: TestNetwork) throws {
        let packet = RawPacket.udp(from: TestNetwork.sandboxAddress, 4000, to: "198.51.100.2", 7, Self.stolen)
        let frame = [UInt8](repeating: 0xff, count: 6) + [2, 0, 0, 0, 0, 1, 8, 0] + packet
        for bypass: Int32 in [0, 1] {
            let descriptor = try network.sandbox.run { try PacketSocket.open(device: "eth0", protocol: 0) }
            defer { close(descriptor) }
            var bypass = bypass
            #expect(setsockopt(descriptor, 263 /* SOL_PACKET */, 20, &bypass, socklen_t(4)) == 0)
            _ = Glibc.send(descriptor, frame, frame.count, 0)
        }
    }

    @Test func `it cannot answer in an upstream's name`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        let open = try TestNetwork()
        for byDevice in [false, true] {
            #expect(try hearsForgery(in: sidecar.network.sandbox, byDevice: byDevice) == "true word")
            #expect(try hearsForgery(in: open.sandbox, byDevice: byDevice) == "forged")
        }
    }

    /// What a socket of the namespace hears first: an answer in the upstream's name, or an honest datagram after it.
    private func hearsForgery(in namespace: NetworkNamespace, byDevice: Bool) throws -> String {
        let own = TestNetwork.sandboxAddress
        let listener = try namespace.run { socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) }
        defer { close(listener) }
        Probe.limit(listener)
        let address = SocketAddressBytes(own, 4053)
        try #require(address.with { bind(listener, $0, $1) } == 0)
        let forged = RawPacket.udp(from: RunningSidecar.upstreamAddress, 53, to: own, 4053, Array("forged".utf8))
        if byDevice {
            let device = try namespace.run { try PacketSocket.open(device: "lo", protocol: 0) }
            defer { close(device) }
            let frame = [UInt8](repeating: 0, count: 12) + [8, 0] + forged
            _ = Glibc.send(device, frame, frame.count, 0)
        } else {
            _ = try RawPacket.send(forged, to: own, from: namespace)
        }
        let honest = RawPacket.udp(from: own, 4054, to: own, 4053, Array("true word".utf8))
        #expect(try RawPacket.send(honest, to: own, from: namespace))
        var heard = [UInt8](repeating: 0, count: 64)
        let count = read(listener, &heard, heard.count)
        return String(decoding: heard.prefix(max(count, 0)), as: UTF8.self)
    }

    @Test func `E18 it cannot read the mark of the filter's packets`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        let tap = try sidecar.network.sandbox.run { try PacketSocket.open(device: "eth0") }
        defer { close(tap) }
        var one: Int32 = 1
        try #require(setsockopt(tap, SOL_SOCKET, 75 /* SO_RCVMARK */, &one, socklen_t(4)) == 0)
        _ = try sidecar.resolve("one.example")
        let marks = RawPacket.marks(on: tap) { $0.transport == 17 && $0.destinationPort == 53 }
        #expect(!marks.isEmpty && marks.allSatisfy { $0 == 0 })

        // The tap does see marks that nobody takes off.
        let open = try TestNetwork()
        let control = try open.sandbox.run { try PacketSocket.open(device: "eth0") }
        defer { close(control) }
        setsockopt(control, SOL_SOCKET, 75, &one, socklen_t(4))
        let marked = try open.sandbox.run { socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0) }
        defer { close(marked) }
        var mark: UInt32 = 77
        setsockopt(marked, SOL_SOCKET, SO_MARK, &mark, socklen_t(4))
        _ = SocketAddressBytes("198.51.100.3", 53).with { sendto(marked, Self.stolen, Self.stolen.count, 0, $0, $1) }
        #expect(
            try await eventually {
                RawPacket.marks(on: control) { $0.transport == 17 && $0.destinationPort == 53 }.contains(77)
            })
    }

    @Test func `E18 it cannot take the port of the API`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.rules])
        for text in ["0.0.0.0", TestNetwork.sandboxAddress, "::", "fd00:99::2"] {
            let status = try sidecar.network.sandbox.run {
                let address = SocketAddressBytes(text, RunningSidecar.apiPort)
                let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
                defer { close(descriptor) }
                var one: Int32 = 1
                setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(4))
                setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, socklen_t(4))
                return address.with { bind(descriptor, $0, $1) } == 0 ? 0 : errno
            }
            #expect(status == EADDRINUSE, "\(text)")
        }
    }
}
