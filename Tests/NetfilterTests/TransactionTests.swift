import Addresses
import Netfilter
import NetworkPolicy
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite(.serialized) struct TransactionTests {
    private func withTable(_ body: (NetfilterSocket) throws -> Void) throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        let socket = try namespace.run { try NetfilterSocket() }
        var transaction = Transaction()
        transaction.addTable("t")
        transaction.addSet("names", table: "t", key: .ipv4, timeouts: true)
        transaction.addSet("blocks", table: "t", key: .ipv6, intervals: true)
        transaction.addChain("out", table: "t", base: BaseChain(.filter, .output, priority: 0, dropsByDefault: false))
        try socket.commit(transaction)
        try body(socket)
    }

    @Test func `what others change is told from what the socket changes itself`() throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        let (mine, others) = try namespace.run { (try NetfilterSocket(), try NetfilterSocket()) }
        // Nothing is known before the first whole transaction.
        #expect(try mine.wasChangedByOthers())
        func whole() throws {
            var transaction = Transaction()
            transaction.removeTable("t")
            transaction.addTable("t")
            try mine.commit(transaction, isWhole: true)
        }
        try whole()
        #expect(try !mine.wasChangedByOthers())
        for number in 0..<3 {
            var transaction = Transaction()
            transaction.addChain("c\(number)", table: "t")
            try mine.commit(transaction)
            #expect(try !mine.wasChangedByOthers())
        }
        // What the kernel refuses changes nothing.
        var refused = Transaction()
        refused.addChain("c", table: "nowhere")
        #expect(throws: NetfilterError.self) { try mine.commit(refused) }
        #expect(try !mine.wasChangedByOthers())

        var foreign = Transaction()
        foreign.addTable("foreign")
        try others.commit(foreign)
        #expect(try mine.wasChangedByOthers())
        // Until everything is put in anew, whatever else is changed.
        var more = Transaction()
        more.addChain("more", table: "t")
        try mine.commit(more)
        #expect(try mine.wasChangedByOthers())
        try whole()
        #expect(try !mine.wasChangedByOthers())
    }

    @Test func `every kind of expression is taken by the kernel`() throws {
        try withTable { socket in
            var transaction = Transaction()
            transaction.addChain(
                "nat", table: "t", base: BaseChain(.nat, .output, priority: -100, dropsByDefault: false))
            transaction.addChain(
                "post", table: "t", base: BaseChain(.nat, .postrouting, priority: 100, dropsByDefault: false))
            transaction.addChain("other", table: "t")
            let rules: [[Expression]] = [
                .destination(in: "names", isIPv4: true) + [.counter, .verdict(.accept)],
                .destination(in: "blocks", isIPv4: false, inverted: true) + [.verdict(.drop)],
                .source(CIDRBlock("10.0.0.0/9")!) + .destination(CIDRBlock("2001:db8::/33")!) + [.verdict(.return)],
                .connection([.established, .related]) + [.verdict(.accept)],
                .toLocalAddress + [.verdict(.jump("other"))],
                .notPlainSYN + [.verdict(.drop)], .icmpv6(type: 135) + [.verdict(.accept)],
                .output("eth*") + [.verdict(.goto("other"))], .output("eth0") + [.reject(.prohibited)],
                .transport(IPProtocol.tcp) + [.reject(.tcpReset)],
            ]
            for rule in rules { transaction.addRule("out", table: "t", rule) }
            transaction.addRule(
                "nat", table: "t", .destinationPort(53, transport: IPProtocol.udp) + [.redirect(port: 5353)])
            transaction.addRule("post", table: "t", .output("eth0") + [.masquerade])
            try socket.commit(transaction)
        }
    }

    @Test func `a claimed table is its socket's, and goes with it`() throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        var claim = Transaction()
        claim.claimTable("claimed")
        var more = claim
        more.addTable("more")
        let other = try namespace.run { try NetfilterSocket() }
        var owner: NetfilterSocket? = try namespace.run { try NetfilterSocket() }
        for _ in 0..<2 { try owner!.commit(claim) }
        let error = #expect(throws: NetfilterError.self) { try other.commit(more) }
        #expect(error?.code == EPERM)
        #expect(try other.hasTable("claimed") && !other.hasTable("more"))
        owner = nil
        #expect(try !other.hasTable("claimed"))
        try other.commit(more)
    }

    @Test func `a transaction with one bad change makes none`() throws {
        try withTable { socket in
            var transaction = Transaction()
            transaction.addElements([SetElement(IPAddress("198.51.100.1")!)], set: "names", table: "t")
            transaction.addTable("second")
            transaction.addRule("none", table: "t", [.verdict(.drop)])
            transaction.addElements([SetElement(IPAddress("198.51.100.2")!)], set: "names", table: "t")
            let error = #expect(throws: NetfilterError.self) { try socket.commit(transaction) }
            #expect(error?.isNotFound == true)
            let left = try socket.elements(of: "names", table: "t")
            let second = try socket.hasTable("second")
            #expect(left.isEmpty && !second)
        }
    }

    @Test func `elements come back with their remaining time and their data`() throws {
        try withTable { socket in
            let data = Array("example.com".utf8)
            var transaction = Transaction()
            transaction.addElements(
                [SetElement(IPAddress("198.51.100.1")!, timeout: 60_000, userData: data)], set: "names", table: "t")
            try socket.commit(transaction)
            let element = try #require(try socket.elements(of: "names", table: "t").first)
            #expect(element.address == IPAddress("198.51.100.1"))
            #expect(element.userData == data)
            #expect((1...60_000).contains(element.timeout ?? 0))
        }
    }

    @Test func `refreshing gives an element its full time whether it was there or not`() throws {
        try withTable { socket in
            func refresh(_ timeout: UInt64) throws -> UInt64 {
                var transaction = Transaction()
                transaction.refreshElements(
                    [SetElement(IPAddress("198.51.100.1")!, timeout: timeout)], set: "names", table: "t")
                try socket.commit(transaction)
                return try #require(try socket.elements(of: "names", table: "t").first?.timeout)
            }
            #expect(try refresh(10_000) <= 10_000)
            #expect(try refresh(600_000) > 500_000)
            var transaction = Transaction()
            transaction.removeElements(
                [SetElement(IPAddress("198.51.100.1")!), SetElement(IPAddress("198.51.100.9")!)], set: "names",
                table: "t")
            try socket.commit(transaction)
            #expect(try socket.elements(of: "names", table: "t").isEmpty)
        }
    }

    @Test func `a hundred thousand ranges go in at once, up to the last address`() throws {
        try withTable { socket in
            let ranges = (0..<100_000).map { number -> ClosedRange<IPAddress> in
                let start = IPv6Address(high: 0x2001_0db8_0000_0000, low: UInt64(number) << 8)
                return .v6(start) ... .v6(IPv6Address(high: start.high, low: start.low | 0x0f))
            }
            let last = IPAddress("ffff::")!...IPAddress("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")!
            var transaction = Transaction()
            transaction.addElements((ranges + [last]).flatMap(SetElement.range), set: "blocks", table: "t")
            try socket.commit(transaction)
            #expect(try socket.elements(of: "blocks", table: "t").count >= 200_001)
            var removal = Transaction()
            removal.deleteElements(SetElement.range(ranges[7]), set: "blocks", table: "t")
            try socket.commit(removal)
            var flush = Transaction()
            flush.flushSet("blocks", table: "t")
            flush.flushChain("out", table: "t")
            try socket.commit(flush)
            #expect(try socket.elements(of: "blocks", table: "t").isEmpty)
        }
    }

    @Test func `a table is removed whether it is there or not`() throws {
        try withTable { socket in
            for _ in 0..<2 {
                var transaction = Transaction()
                transaction.removeTable("t")
                try socket.commit(transaction)
                #expect(try socket.hasTable("t") == false)
            }
        }
    }
}
