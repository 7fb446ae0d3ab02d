import Addresses
import Netfilter
import NetworkPolicy
import Synchronization
import Testing

@testable import Egress
@testable import FlowCheck

/// How refused packets become events, without a kernel.
@Suite struct RefusalTalliesTests {
    private func refusal(
        _ address: String = "198.51.100.1", port: UInt16 = 443, from: UInt16 = 40000, count: Int = 1,
        reason: RefusalReason = .policy
    ) -> PacketRefusal {
        let header = PacketHeader(
            source: IPAddress("10.99.0.2")!, destination: IPAddress(address)!, transport: IPProtocol.tcp,
            ports: .init(source: from, destination: port))
        let verdict = Verdict(action: .deny, reason: .defaultAction)
        return PacketRefusal(reason: reason, header: header, verdict: verdict, count: count)
    }

    @Test func `the first packet is told at once, the next ones are counted and told once`() {
        var tallies = RefusalTallies()
        #expect(tallies.add(refusal(), now: 100) == refusal())
        // Each attempt has another source port.
        for port in 1...9 { #expect(tallies.add(refusal(from: UInt16(port)), now: 101) == nil) }
        #expect(tallies.settle(now: 159).refusals.isEmpty)
        #expect(tallies.settle(now: 160).refusals == [refusal(from: 1, count: 9)])
        #expect(tallies.settle(now: 219).refusals.isEmpty)
        #expect(tallies.settle(now: 220).refusals.isEmpty, "nothing came meanwhile")
        #expect(tallies.add(refusal(), now: 221) == refusal(), "and the next one is the first again")
    }

    @Test func `another address, port, protocol or reason is another event`() {
        var tallies = RefusalTallies()
        var others = [refusal(), refusal("198.51.100.2"), refusal(port: 80), refusal(reason: .ended)]
        var datagram = refusal()
        datagram.header?.transport = IPProtocol.udp
        others.append(datagram)
        for other in others { #expect(tallies.add(other, now: 1) == other) }
    }

    @Test func `a scan has few events, needs little memory, and loses no packet from the count`() {
        var tallies = RefusalTallies(capacity: 8), told = 0
        var omitted = 0
        for second in UInt64(1)...300 {
            for port in UInt16(1)...100 {
                let scanned = refusal(port: UInt16(second) * 100 + port)
                if tallies.add(scanned, now: second) != nil { told += 1 }
            }
            let settled = tallies.settle(now: second)
            told += settled.refusals.reduce(0) { $0 + $1.count }
            omitted += settled.omitted ?? 0
        }
        omitted += tallies.settle(now: 1000).omitted ?? 0
        #expect(told + omitted == 30_000 && told <= 64 + 300)
    }

    @Test func `what the kernel only counted is told once a minute at most`() {
        var tallies = RefusalTallies()
        tallies.omit(5)
        #expect(tallies.settle(now: 10).omitted == 5)
        tallies.omit(6)
        #expect(tallies.settle(now: 69).omitted == nil)
        tallies.omit(7)
        #expect(tallies.settle(now: 70).omitted == 13)
    }

    @Test func `outsiders who scan the sandbox use up nothing of what tells of its own packets`() {
        let log = EventLog(sandbox: "s", capacity: 256, time: { 5 })
        let watch = GuardWatch(log: log, now: { 7 })
        let scan = (1...200).map { refusal("10.99.0.\($0)", port: UInt16($0), reason: .inbound) }
        watch.packetsRefused(scan + [refusal("10.99.0.1", port: 999, reason: .inbound), refusal()], omitted: 0)
        let told = log.events(after: nil).events.map(\.event.kind)
        #expect(told.contains(.packetsRefused(refusal())) && told.contains(.refusalsOmitted(192)))
        #expect(told.count == 8 + 2)
    }

    @Test func `an event of packets says five-tuple, reason, verdict and how many`() {
        let event = DecisionEvent(time: 0, kind: .packetsRefused(refusal(count: 3)))
        #expect(
            event.encodedJSON(sandbox: "s")
                == #"{"time":"1970-01-01T00:00:00.000Z","sandbox":"s","event":"packetsRefused","protocol":"tcp","#
                + #""source":"10.99.0.2","address":"198.51.100.1","sourcePort":40000,"port":443,"kind":"policy","count":3,"#
                + #""verdict":"deny","reason":"default","text":"denied by default"}"#)
        let omitted = DecisionEvent(time: 0, kind: .refusalsOmitted(9)).encodedJSON(sandbox: "s")
        #expect(omitted.hasSuffix(#""event":"refusalsOmitted","count":9}"#))
    }

    private final class Outlet: EventOutlet {
        let events = Mutex<[DecisionEvent]>([])
        func put(_ event: DecisionEvent, of sandbox: String) { events.withLock { $0.append(event) } }
    }

    @Test func `refused flows and packets reach the outlets as well as the stream`() throws {
        let outlet = Outlet(), log = EventLog(sandbox: "s", capacity: 8, time: { 5 })
        let watch = GuardWatch(log: log, outlets: [outlet], now: { 7 })
        let flow = FlowEvent(
            target: FlowTarget(address: IPAddress("198.51.100.1")!, port: 443),
            source: FlowTarget(address: IPAddress("10.99.0.2")!, port: 40000), name: try DomainName("a.example"),
            refusal: .notLearned)
        watch.flowRefused(flow)
        watch.flowRefused(flow)
        watch.packetsRefused([refusal(), refusal()], omitted: 4)
        let told = log.events(after: nil).events.map(\.event.kind)
        #expect(told == [.flowRefused(flow), .packetsRefused(refusal()), .refusalsOmitted(4)])
        let kinds = outlet.events.withLock { $0.map(\.kind) }
        #expect(kinds == [.flowRefused(flow)] + told, "the audit log has every flow")
        #expect(DecisionEvent(time: 0, kind: told[0]).encodedJSON(sandbox: "s").contains(#""sourcePort":40000"#))
    }
}
