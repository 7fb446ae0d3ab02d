import Synchronization
import System
import Testing

@Suite struct WaitersTests {
    private static let long = Duration.seconds(60)

    /// Something to wait for.
    private final class Door: Sendable {
        let waiters = Waiters()
        private let isOpenNow = Mutex(false)

        var isOpen: Bool { isOpenNow.withLock { $0 } }

        func open() {
            isOpenNow.withLock { $0 = true }
            waiters.wake()
        }

        func wait(_ limit: Duration) async -> Waiters.End { await waiters.wait(atMost: limit) { isOpen } }
    }

    @Test func `what holds already is not waited for`() async {
        let door = Door()
        door.open()
        #expect(await door.wait(.zero) == .conditionMet)
    }

    @Test func `a wait ends when what it waits for has come, whichever comes first`() async {
        for _ in 0..<200 {
            let door = Door()
            async let first = door.wait(Self.long)
            async let second = door.wait(Self.long)
            async let opened: Void = door.open()
            let ends = await (first, second)
            await opened
            #expect(ends.0 == .conditionMet && ends.1 == .conditionMet)
        }
    }

    @Test func `waking without a change wakes nobody for good, and the wait still ends with its time`() async {
        let door = Door(), limit = Duration.milliseconds(50), start = ContinuousClock.now
        let noise = Task {
            while !Task.isCancelled {
                door.waiters.wake()
                await Task.yield()
            }
        }
        #expect(await door.wait(limit) == .timeOver)
        noise.cancel()
        #expect(ContinuousClock.now - start >= limit)
    }

    @Test func `the limit of a wait that is over does not end the next one`() async {
        let short = Duration.milliseconds(20), longer = Duration.milliseconds(100)
        for _ in 0..<20 {
            let door = Door()
            door.open()
            _ = await door.wait(short)
        }
        let met = Door()
        async let ended = met.wait(short)
        met.open()
        _ = await ended
        let shut = Door(), start = ContinuousClock.now
        #expect(await shut.wait(short) == .timeOver)
        #expect(await shut.wait(longer) == .timeOver)
        #expect(ContinuousClock.now - start >= short + longer)
    }

    @Test func `a cancelled wait ends at once, and says that it was not the time`() async {
        let door = Door()
        let waiting = Task { await door.wait(Self.long) }
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        // One that has begun to wait.
        let started = AsyncStream<Void>.makeStream()
        let begun = Task {
            await door.waiters.wait(atMost: Self.long) {
                started.continuation.yield()
                return false
            }
        }
        var looks = started.stream.makeAsyncIterator()
        for _ in 0..<2 { await looks.next() }
        begun.cancel()
        #expect(await begun.value == .cancelled)
        // Others go on waiting.
        async let other = door.wait(Self.long)
        door.open()
        #expect(await other == .conditionMet)
    }
}
