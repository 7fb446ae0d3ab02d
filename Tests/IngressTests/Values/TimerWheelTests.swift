import NIOCore
import NIOEmbedded
import Testing

@testable import Ingress

private final class Entry: TimerWheelEntry {
    let due: UInt64
    var place: TimerWheelPlace?

    init(_ due: UInt64) { self.due = due }
}

@Suite struct TimerWheelTests {
    @Test func `entries come out at their ticks`() {
        var wheel = TimerWheel<Entry>()
        for due in [7, 3, 3, 900] as [UInt64] { wheel.add(Entry(due), at: due, now: 1) }
        #expect(wheel.next == 3)
        #expect(wheel.take(until: 2).isEmpty)
        #expect(wheel.take(until: 3).map(\.due) == [3, 3])
        #expect(wheel.next == 7)
        #expect(wheel.take(until: 899).map(\.due) == [7])
        #expect(wheel.take(until: 900).map(\.due) == [900])
        #expect(wheel.next == nil)
    }

    @Test func `what is removed does not come out, and its neighbours do`() {
        var wheel = TimerWheel<Entry>()
        let entries = (0..<5).map { _ in Entry(9) }
        for entry in entries { wheel.add(entry, at: 9, now: 0) }
        wheel.remove(entries[1])
        wheel.remove(entries[4])
        wheel.remove(entries[1])
        let out = Set(wheel.take(until: 9).map(ObjectIdentifier.init))
        #expect(out == Set([0, 2, 3].map { ObjectIdentifier(entries[$0]) }))
    }

    @Test func `beyond a turn of the ring an entry comes out early, and what has passed at the next tick`() {
        var wheel = TimerWheel<Entry>()
        wheel.add(Entry(100_000), at: 100_000, now: 50)
        #expect(wheel.next == 50 + 1023)
        wheel.add(Entry(10), at: 10, now: 60)
        #expect(wheel.take(until: 61).map(\.due) == [10])
        #expect(wheel.take(until: 50 + 1023).map(\.due) == [100_000])
    }

    /// Beside a list that is searched.
    @Test func `it does what a list does`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20 {
            var wheel = TimerWheel<Entry>()
            var list: [Entry] = []
            var now = UInt64.random(in: 0..<5000, using: &generator)
            for _ in 0..<3000 {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0..<5:
                    let entry = Entry(now + UInt64.random(in: 1..<1000, using: &generator))
                    wheel.add(entry, at: entry.due, now: now)
                    list.append(entry)
                    #expect(entry.place?.tick == entry.due)
                case 5..<8:
                    guard let index = list.indices.randomElement(using: &generator) else { continue }
                    wheel.remove(list.remove(at: index))
                default:
                    now += UInt64.random(in: 0..<300, using: &generator)
                    let due = wheel.take(until: now)
                    #expect(due.allSatisfy { $0.place == nil })
                    let out = Set(due.map(ObjectIdentifier.init))
                    #expect(out == Set(list.filter { $0.due <= now }.map(ObjectIdentifier.init)))
                    list.removeAll { $0.due <= now }
                }
                #expect(list.allSatisfy { $0.place != nil && wheel.next! <= $0.due })
            }
        }
    }
}

@Suite struct LoopTimerTests {
    @Test func `deadlines of one loop are met in any number, moved or cleared`() {
        let loop = EmbeddedEventLoop()
        var met: [Int] = []
        let deadlines = (0..<100).map { index in Deadline(loop) { met.append(index) } }
        for (index, deadline) in deadlines.enumerated() { deadline.set(.seconds(Int64(1 + index % 10))) }
        for index in stride(from: 0, to: 100, by: 2) { deadlines[index].clear() }
        for index in stride(from: 1, to: 100, by: 4) { deadlines[index].set(.hours(2)) }
        loop.advanceTime(to: .now() + .hours(1))
        #expect(Set(met) == Set(stride(from: 3, to: 100, by: 4)) && met.count == 25)
        loop.advanceTime(by: .hours(2))
        #expect(Set(met) == Set(stride(from: 1, to: 100, by: 2)) && met.count == 50)
    }

    @Test func `one that is met may clear and set others`() {
        let loop = EmbeddedEventLoop()
        var met: [String] = []
        let second = Deadline(loop) { met.append("second") }, third = Deadline(loop) { met.append("third") }
        let first = Deadline(loop) {
            met.append("first")
            second.clear()
            third.set(.hours(3))
        }
        for deadline in [first, second, third] { deadline.set(.milliseconds(1)) }
        loop.advanceTime(to: .now() + .hours(1))
        #expect(met == ["first"])
        loop.advanceTime(by: .hours(3))
        #expect(met == ["first", "third"])
    }
}
