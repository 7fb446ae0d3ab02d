import Addresses
import Testing

@testable import Netfilter

#if canImport(Glibc)
    import Glibc
#endif

/// The kernel's messages about packets, in real namespaces.
@Suite(.serialized) struct PacketLogTests {
    private static let group: UInt16 = 7
    private static let limit = (rate: UInt64(10), burst: UInt32(20))

    /// A namespace whose rules refuse and report UDP to port 9.
    private func withLog(_ body: (NetworkNamespace, NetfilterSocket, PacketLog) throws -> Void) throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        let (tables, log) = try namespace.run { () throws -> (NetfilterSocket, PacketLog) in
            try RouteSocket().setLoopbackUp()
            return (try NetfilterSocket(), try PacketLog(group: Self.group, bytesOfPacket: 64))
        }
        var rules = Transaction()
        rules.addTable("t")
        rules.addChain("out", table: "t", base: BaseChain(.filter, .output, priority: 0, dropsByDefault: false))
        rules.addChain("report", table: "t")
        rules.addRule("out", table: "t", .destinationPort(9, transport: IPProtocol.udp) + [.verdict(.goto("report"))])
        rules.addRule(
            "report", table: "t",
            [
                .counter, .packetsWithin(rate: Self.limit.rate, burst: Self.limit.burst),
                .log(group: Self.group, prefix: "why", bytes: 64),
            ])
        rules.addRule("report", table: "t", [.verdict(.drop)])
        rules.addRule(
            "out", table: "t",
            .destinationPort(8, transport: IPProtocol.udp) + [.log(group: Self.group, prefix: "end", bytes: 64)])
        try tables.commit(rules)
        try body(namespace, tables, log)
    }

    /// Sends datagrams to loopback. Those that the rules refuse fail with EPERM.
    private func send(_ count: Int, to port: UInt16, _ namespace: NetworkNamespace) throws {
        try namespace.run {
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            let bytes = [UInt8](repeating: 0, count: 1000)
            for _ in 0..<count {
                _ = withUnsafePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
        }
    }

    /// All that was reported until now: the kernel reports in order, and what is sent last is not limited.
    private func packets(_ log: PacketLog, _ namespace: NetworkNamespace) throws -> [LoggedPacket] {
        try send(1, to: 8, namespace)
        var found: [LoggedPacket] = []
        for _ in 0..<5000 where found.last?.prefix != "end" {
            found += log.read(limit: 64)
            usleep(2000)
        }
        #expect(found.last?.prefix == "end")
        return found.dropLast()
    }

    @Test func `a refused packet is reported with the rule's words and its first bytes`() throws {
        try withLog { namespace, _, log in
            #expect(try log.listen())
            try send(1, to: 10, namespace)
            try send(1, to: 9, namespace)
            let found = try packets(log, namespace)
            #expect(found.map(\.prefix) == ["why"] && found.first?.bytes.count == 64)
            let header = found.first.flatMap { PacketHeader($0.bytes) }
            #expect(header?.destination == IPAddress("127.0.0.1") && header?.ports?.destination == 9)
        }
    }

    @Test func `of a flood the reader sees what the limit lets by, and the counter everything`() throws {
        try withLog { namespace, tables, log in
            #expect(try log.listen())
            let flood = 20_000, clock = ContinuousClock(), begin = clock.now
            try send(flood, to: 9, namespace)
            let most = Int(Self.limit.burst) + Int(Self.limit.rate) * (Int((clock.now - begin).components.seconds) + 1)
            let seen = try packets(log, namespace).count
            #expect((1...most).contains(seen), "\(seen) of \(flood)")
            #expect(try tables.counts(of: "report", table: "t").map(\.packets).reduce(0, +) == UInt64(flood))
        }
    }

    @Test func `a group is one listener's, and the next one's when that is gone`() throws {
        try withLog { namespace, _, log in
            let second = try namespace.run { try PacketLog(group: Self.group, bytesOfPacket: 64) }
            do {
                let first = try namespace.run { try PacketLog(group: Self.group, bytesOfPacket: 64) }
                #expect(try first.listen())
                #expect(try !second.listen())
            }
            #expect(try second.listen())
            _ = log
        }
    }

    @Test func `messages that are cut off or are others are no packets`() {
        var message = NetlinkMessage(type: LoggedPacket.subsystem, flags: 0, body: [2, 0, 0, 7])
        message.attribute(10, text: "why")
        message.attribute(9, [1, 2, 3])
        let whole = message.bytes
        #expect(LoggedPacket.parse(whole) == [LoggedPacket(prefix: "why", bytes: [1, 2, 3])])
        // A frame's link header is not the packet's.
        let receiver = [UInt8](repeating: 2, count: 12)
        for (kind, frame, packet) in [
            (nil, receiver + [0x08, 0x00, 0x45, 1], [0x45, 1]), (0x86dd, receiver + [0x86, 0xdd], []),
            (0x8100, receiver + [0x81, 0x00, 0x00, 0x07, 0x08, 0x00, 0x45], [0x45]),
            (0x0800, [0x45, 2, 3], [0x45, 2, 3]), (0x86dd, [0x45, 2, 3], []), (nil, [0x45, 2, 3], []),
            (0x88b5, receiver + [0x88, 0xb5, 1], []), (0x0800, receiver + [0x88, 0xb5, 1], []),
            // What its receiver reads, whatever its sender told the kernel.
            (0x88b5, receiver + [0x08, 0x00, 0x45], [0x45]),
            // ARP, whose own kind of protocol stands where a tagged frame's would.
            (nil, receiver + [0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 0x45], []), (0x0800, [], []),
        ] as [(UInt16?, [UInt8], [UInt8])] {
            #expect(LoggedPacket.withoutLinkHeader(frame, kind: kind) == packet)
        }
        #expect(LoggedPacket.parse(whole + whole).count == 2)
        for length in 0..<whole.count { #expect(LoggedPacket.parse(Array(whole[..<length])).isEmpty) }
        let other = NetlinkMessage(type: LoggedPacket.subsystem | 1, flags: 0, body: [2, 0, 0, 7])
        #expect(LoggedPacket.parse(other.bytes).isEmpty)
    }
}
