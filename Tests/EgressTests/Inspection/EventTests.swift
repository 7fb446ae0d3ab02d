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

    @Test func `an event that takes another one's memory changes nothing for who has read that`() throws {
        let verdict = Verdict(action: .deny, reason: .defaultAction)
        var ring = EventRing(generation: 7, capacity: 2)
        let events = try ["a.example", "bb.example", "a-long-name.below.example", "d.example", "e.example"].map {
            DecisionEvent(time: 1, kind: .name(try DomainName($0), type: 1, verdict))
        }
        for event in events[..<2] { ring.append(event) }
        let read = ring.events(after: nil).events.map(\.event)
        for event in events[2...] { ring.append(event) }
        #expect(read == Array(events[..<2]))
        #expect(ring.events(after: nil).events.map(\.event) == Array(events[3...]))
        // What has no name takes the place of what has one, and the other way round.
        ring.append(DecisionEvent(time: 2, kind: .flowsCut(3)))
        ring.append(DecisionEvent(time: 2, kind: .flowsCut(4)))
        ring.append(events[0])
        #expect(ring.events(after: nil).events.map(\.event.kind) == [.flowsCut(4), events[0].kind])
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

    @Test func `of as many names as there is room for, none is news twice`() throws {
        var sightings = Sightings()
        let names = try (0..<sightings.capacity).map { try DomainName("n\($0).example") }
        for isNews in [true, false] {
            let told = names.count { sightings.isNews($0, .denied, now: 0) }
            #expect(told == (isNews ? names.count : 0))
        }
        let isNews = sightings.isNews(try DomainName("one-more.example"), .denied, now: 0)
        #expect(isNews)
        let again = names.count { sightings.isNews($0, .denied, now: 0) }
        #expect(again > 0, "nothing was forgotten")
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
