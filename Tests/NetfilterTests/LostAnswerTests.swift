import Addresses
import NetworkPolicy
import Testing

@testable import Netfilter

/// The kernel drops answers for which a socket has no room, and says ENOBUFS (netlink(7)).
@Suite(.serialized) struct LostAnswerTests {
    private func withSockets(_ body: (_ narrow: NetfilterSocket, _ wide: NetfilterSocket) throws -> Void) throws {
        let namespace = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? namespace.delete() }
        // The system's least: a few answers.
        let (narrow, wide) = try namespace.run { (try NetfilterSocket(receiveBufferBytes: 1), try NetfilterSocket()) }
        var transaction = Transaction()
        transaction.addTable("t")
        transaction.addSet("names", table: "t", key: .ipv4, timeouts: true)
        try wide.commit(transaction)
        try body(narrow, wide)
    }

    /// A refusal for each of its parts, more than there is room for, and only then what would be acknowledged.
    private var refused: Transaction {
        var transaction = Transaction()
        for number in 0..<500 { transaction.addChain("c\(number)", table: "nowhere") }
        transaction.addChain("here", table: "t")
        return transaction
    }

    private func named(_ address: String) -> Transaction {
        var transaction = Transaction()
        transaction.addElements([SetElement(IPAddress(address)!, timeout: 60_000)], set: "names", table: "t")
        return transaction
    }

    @Test func `answers that were lost are no confirmation, and none of them passes for a later one`() throws {
        try withSockets { narrow, wide in
            for round in 1...3 {
                #expect(throws: NetfilterError.self) { try narrow.commit(refused) }
                // Its own answer is heard: the rest of the earlier ones would be a refusal, or take its room.
                try narrow.commit(named("198.51.100.\(round)"))
                #expect(throws: NetfilterError.self) { try narrow.commit(refused) }
                #expect(try narrow.elements(of: "names", table: "t").count == round)
            }
            #expect(try wide.elements(of: "names", table: "t").count == 3)
            #expect(try wide.counts(of: "here", table: "t").isEmpty)
        }
    }

    @Test func `a dump larger than the socket's room is heard to its end`() throws {
        try withSockets { narrow, wide in
            var transaction = Transaction()
            let addresses = (0..<5000).map { IPAddress.v4(IPv4Address(rawValue: 0xcb00_0000 + $0)) }
            transaction.addElements(
                addresses.map { SetElement($0, timeout: 600_000, userData: [UInt8](repeating: 7, count: 100)) },
                set: "names", table: "t")
            try wide.commit(transaction)
            // After so many new elements a worker of the kernel's makes the set's hash table larger; what is listed meanwhile
            // may come twice, or not at all.
            let isWhole = try (1...50).contains { _ in
                let found = try narrow.elements(of: "names", table: "t")
                return Set(found.compactMap(\.address)) == Set(addresses) && found.count == addresses.count
            }
            #expect(isWhole)
        }
    }
}
