import NetworkPolicy
import Testing

@testable import Egress

@Suite struct EventTests {
    private func ring(_ count: Int, capacity: Int = 4) -> EventRing {
        var ring = EventRing(generation: 7, capacity: capacity)
        for number in 0..<count { ring.append(DecisionEvent(time: UInt64(number), kind: .flowsCut(number + 1))) }
        return ring
    }
    private func numbers(_ batch: EventRing.Batch) -> [UInt64] { batch.events.map(\.position.number) }
    private func at(_ number: UInt64, generation: UInt64 = 7) -> EventRing.Position {
        .init(generation: generation, number: number)
    }

    @Test func `a reader goes on where it was`() {
        let ring = ring(3)
        #expect(numbers(ring.events(after: nil)) == [1, 2, 3])
        #expect(numbers(ring.events(after: at(1))) == [2, 3] && ring.events(after: at(1)).lost == 0)
        #expect(numbers(ring.events(after: at(3))).isEmpty && ring.events(after: at(3)).lost == 0)
        #expect(numbers(ring.events(after: nil, limit: 2)) == [1, 2] && ring.events(after: nil, limit: 2).end == at(2))
    }

    @Test func `what did not fit is lost, oldest first, and counted`() {
        let ring = ring(10)
        #expect(numbers(ring.events(after: nil)) == [7, 8, 9, 10])
        #expect(ring.events(after: at(2)).lost == 4 && numbers(ring.events(after: at(2))) == [7, 8, 9, 10])
        #expect(ring.events(after: at(6)).lost == 0 && numbers(ring.events(after: at(6))) == [7, 8, 9, 10])
        #expect(ring.events(after: at(8)).events.map(\.event.time) == [8, 9])
    }

    @Test func `a position of another guard, or of the future, has missed nobody knows what`() {
        let ring = ring(3)
        for position in [at(2, generation: 6), at(99)] {
            #expect(ring.events(after: position).lost == nil)
            #expect(numbers(ring.events(after: position)) == [1, 2, 3])
        }
        #expect(self.ring(0).events(after: at(0, generation: 6)).lost == nil)
        #expect(self.ring(0).events(after: nil).events.isEmpty)
    }

    @Test func `positions are read from what a client sends`() {
        #expect(EventRing.Position("7-12") == at(12) && "\(at(12))" == "7-12")
        for text in ["", "7", "7-", "-1", "7-1-2", "x-1", "7-99999999999999999999", "7 - 1"] {
            #expect(EventRing.Position(text) == nil, "\(text)")
        }
    }

    @Test func `the stream tells what was lost, then the events, each on one line`() throws {
        let text = EventStream.text(ring(6).events(after: at(1), limit: 1), sandbox: "a\"b")
        #expect(
            text == """
                event: lost
                data: {"count":1}

                id: 7-3
                event: flowsCut
                data: {"time":"1970-01-01T00:00:00.002Z","sandbox":"a\\"b","event":"flowsCut","count":3}


                """)
    }

    @Test func `an event says name, type, rule and verdict`() throws {
        let rule = try Rule(action: .deny, text: "*.Example", scope: TrafficScope(transport: .tcp, ports: [443...443]))
        let verdict = Verdict(action: .deny, reason: .rule(2, rule))
        let event = DecisionEvent(time: 0, kind: .name(try DomainName("a.example"), type: 28, verdict))
        #expect(
            event.encodedJSON(sandbox: "s")
                == #"{"time":"1970-01-01T00:00:00.000Z","sandbox":"s","event":"nameDenied","name":"a.example","type":"AAAA","#
                + #""verdict":"deny","reason":"rule","index":2,"#
                + #""rule":{"action":"deny","ports":[443],"protocol":"tcp","target":"*.Example"},"#
                + #""text":"denied by rule deny *.Example tcp 443"}"#)
        #expect(RecordTypeName.text(65280) == "TYPE65280")
    }

    @Test func `a name is news once under a policy, a denial again after a while, and memory is bounded`() throws {
        var sightings = Sightings(capacity: 2)
        let name = try DomainName("a.example")
        func news(_ outcome: Sightings.Outcome, _ now: UInt64) -> Bool { sightings.isNews(name, outcome, now: now) }
        #expect(news(.allowed, 0))
        #expect(!news(.allowed, 1000))
        #expect(news(.denied, 0))
        #expect(!news(.denied, 59))
        #expect(news(.denied, 60))
        sightings.clear()
        #expect(news(.allowed, 1000))
    }

    @Test func `every reader hears the bell, and a closed log lets go of them`() async throws {
        let log = EventLog(sandbox: "s", capacity: 4, time: { 5 })
        let readers = (0..<EventLog.maximumReaders).compactMap { _ in log.subscribe() }
        #expect(readers.count == EventLog.maximumReaders)
        #expect(log.subscribe() == nil)
        log.append(.flowsCut(1))
        for (bell, _) in readers {
            var rings = bell.makeAsyncIterator()
            #expect(await rings.next() != nil)
        }
        log.close()
        for (bell, _) in readers {
            var rings = bell.makeAsyncIterator()
            #expect(await rings.next() == nil)
        }
        #expect(log.subscribe() == nil)
    }
}
