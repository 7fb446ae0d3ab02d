import Addresses
import Netfilter
import NetworkPolicy
import Testing

@Suite(.serialized) struct MapTests {
    private func withTable(_ body: (NetfilterSocket) throws -> Void) throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        let socket = try namespace.run { try NetfilterSocket() }
        var transaction = Transaction()
        transaction.addTable("t")
        transaction.addSet("names", table: "t", key: .ipv4, value: .number, timeouts: true)
        transaction.addSet("blocks", table: "t", key: .ipv4, value: .number, intervals: true)
        transaction.addSet("parts", table: "t", key: .number, value: .verdict)
        transaction.addChain("part", table: "t")
        transaction.addChain("out", table: "t", base: BaseChain(.filter, .output, priority: 0, dropsByDefault: false))
        transaction.addElements([SetElement(7, value: .jump("part"))], set: "parts", table: "t")
        for map in ["names", "blocks"] {
            transaction.addRule("out", table: "t", .destination(mappedBy: map, isIPv4: true) + [.verdictMap("parts")])
        }
        transaction.addRule("part", table: "t", .destinationPorts(80...443, transport: 6) + [.verdict(.accept)])
        try socket.commit(transaction)
        try body(socket)
    }

    @Test func `an element of a map keeps its value, its time and its data`() throws {
        try withTable { socket in
            let address = IPAddress("198.51.100.1")!
            var transaction = Transaction()
            transaction.addElements(
                [SetElement(address, timeout: 60_000, userData: [1, 2], value: .number(7))], set: "names", table: "t")
            try socket.commit(transaction)
            var element = try #require(try socket.elements(of: "names", table: "t").first)
            #expect(element.value == .number(7) && element.userData == [1, 2] && (element.timeout ?? 0) > 50_000)

            var change = Transaction()
            change.removeElements([SetElement(address, value: .number(7))], set: "names", table: "t")
            change.addElements([SetElement(address, timeout: 90_000, value: .number(8))], set: "names", table: "t")
            try socket.commit(change)
            element = try #require(try socket.elements(of: "names", table: "t").first)
            #expect(element.value == .number(8) && (element.timeout ?? 0) > 80_000)

            var clash = Transaction()
            clash.removeElements([SetElement(address, value: .number(7))], set: "names", table: "t")
            #expect(throws: NetfilterError.self) { try socket.commit(clash) }
        }
    }

    @Test func `ranges that touch keep their own values through every change`() throws {
        try withTable { socket in
            var present: [Int: UInt32] = [:]
            for _ in 0..<60 {
                // Cells of the last byte: neighbours touch, and a change may take or give any of them.
                var next: [Int: UInt32] = [:]
                for cell in 0..<16 where Bool.random() { next[cell] = UInt32.random(in: 1...2) }
                func range(_ cell: Int, _ value: UInt32?) -> [SetElement] {
                    let base = 255 << 24 | 255 << 16 | 255 << 8 | cell * 16
                    let ends = [base, base + 15].map { IPAddress.v4(IPv4Address(rawValue: UInt32($0))) }
                    return SetElement.range(ends[0]...ends[1], value: value.map { .number($0) })
                }
                let gone = present.filter { next[$0.key] != $0.value }.sorted { $0.key < $1.key }
                let new = next.filter { present[$0.key] != $0.value }.sorted { $0.key < $1.key }
                var transaction = Transaction()
                transaction.deleteElements(gone.flatMap { range($0.key, $0.value) }, set: "blocks", table: "t")
                transaction.addElements(new.flatMap { range($0.key, $0.value) }, set: "blocks", table: "t")
                try socket.commit(transaction)
                present = next
                let starts = try socket.elements(of: "blocks", table: "t").filter { $0.value != nil }
                let found = Dictionary(uniqueKeysWithValues: starts.map { (Int($0.key[3]) / 16, $0.value) })
                #expect(found == present.mapValues { .number($0) })
            }
        }
    }
}
