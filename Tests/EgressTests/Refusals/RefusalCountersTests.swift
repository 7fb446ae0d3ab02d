import Addresses
import Netfilter
import NetworkPolicy
import Testing

@testable import Egress

/// How counters of refused packets and reports of them go together, without a kernel.
@Suite struct RefusalCountersTests {
    private static let place = RefusalReason.policy.counted[0]

    /// One read: what was reported, and what the counter of the policy's refusals says.
    private func read(
        _ counters: inout RefusalCounters, reported: Int, counter: UInt64?
    ) -> (counted: Int, omitted: Int, isWhole: Bool) {
        counters.settle([RefusalReason](repeating: .policy, count: reported), silent: [])
        let counted = counters.read { (place) throws(EgressError) in
            guard let counter else { throw .kernel("no buffer space") }
            return place == Self.place ? counter : 0
        }
        return (counted[.policy] ?? 0, counters.takeOmitted(), counters.takeTrouble() == nil)
    }

    @Test func `what was counted and never reported is omitted, one read later`() {
        var counters = RefusalCounters()
        #expect(read(&counters, reported: 2, counter: 7) == (7, 0, true))
        #expect(read(&counters, reported: 1, counter: 7) == (0, 4, true))
        #expect(read(&counters, reported: 0, counter: 7) == (0, 0, true))
    }

    @Test func `a counter that cannot be read is read the next time, and nothing is lost`() {
        var counters = RefusalCounters()
        #expect(read(&counters, reported: 3, counter: nil) == (0, 0, false))
        #expect(read(&counters, reported: 0, counter: nil) == (0, 0, false))
        #expect(read(&counters, reported: 0, counter: 5) == (5, 0, true))
        #expect(read(&counters, reported: 0, counter: 5) == (0, 2, true))
    }

    @Test func `a table that is made anew loses no count, also where the new one is ahead of the old one`() {
        var counters = RefusalCounters()
        #expect(read(&counters, reported: 1, counter: 4) == (4, 0, true))
        counters.keep([SandboxRuleset.table]) { (place) throws(EgressError) in place == Self.place ? 6 : 0 }
        counters.beginAnew([SandboxRuleset.table])
        #expect(read(&counters, reported: 2, counter: 9) == (11, 1, true))
    }

    @Test func `packets that were reported are counted, also where their table was taken away`() {
        var counters = RefusalCounters()
        #expect(read(&counters, reported: 1, counter: 1) == (1, 0, true))
        #expect(read(&counters, reported: 5, counter: 0) == (5, 0, true))
        #expect(read(&counters, reported: 0, counter: 3) == (3, 0, true))
        #expect(read(&counters, reported: 0, counter: 3) == (0, 3, true), "nothing is owed to what was lost")
    }

    @Test func `equal packets are one group, whatever their source ports`() {
        func packet(_ port: UInt16, from source: UInt16) -> (reason: RefusalReason, header: PacketHeader?) {
            let header = PacketHeader(
                source: IPAddress("10.99.0.2")!, destination: IPAddress("198.51.100.1")!, transport: IPProtocol.tcp,
                ports: .init(source: source, destination: port))
            return (.policy, header)
        }
        let groups = PacketGroup.groups([
            packet(443, from: 1), packet(80, from: 2), packet(443, from: 3), (.policy, nil),
        ])
        #expect(groups.map(\.count) == [2, 1, 1] && groups[0].header == packet(443, from: 1).header)
    }
}
