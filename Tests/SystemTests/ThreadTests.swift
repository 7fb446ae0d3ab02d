import CLinux
import Glibc
import Synchronization
import System
import Testing

@Suite struct WorkerPoolTests {
    private struct BadError: Error, Equatable {}

    private final class Counts: Sendable {
        private let state = Mutex((now: 0, most: 0, done: 0))

        var most: Int { state.withLock { $0.most } }
        var done: Int { state.withLock { $0.done } }

        func begin() {
            state.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
        }

        func end() {
            state.withLock {
                $0.now -= 1
                $0.done += 1
            }
        }
    }

    @Test func `results and errors come back to who asked`() async throws {
        let pool = WorkerPool(maxThreads: 2)
        #expect(try await pool.run { () throws(BadError) in 7 } == 7)
        await #expect(throws: BadError()) { try await pool.run { () throws(BadError) -> Int in throw BadError() } }
    }

    @Test func `no more work is under way at once than there are threads, and all of it is done`() async {
        let pool = WorkerPool(maxThreads: 3)
        let counts = Counts()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<300 {
                group.addTask {
                    await pool.run {
                        counts.begin()
                        sched_yield()
                        counts.end()
                    }
                }
            }
        }
        #expect(counts.done == 300 && (1...3).contains(counts.most))
    }

    @Test func `work that waits for other work gets a thread of its own`() async {
        let pool = WorkerPool(maxThreads: 2)
        var ends: [CInt] = [-1, -1]
        #expect(linux_pipe(&ends) == 0)
        let (input, output) = (ends[1], ends[0])
        async let read = pool.run {
            var byte: UInt8 = 0
            return Glibc.read(output, &byte, 1)
        }
        let written = await pool.run { write(input, "x", 1) }
        #expect(await read == 1 && written == 1)
        close(input)
        close(output)
    }

    @Test func `what was submitted is done although the pool goes`() async {
        let (all, finished) = AsyncStream<Int>.makeStream()
        do {
            let pool = WorkerPool(maxThreads: 1)
            for number in 0..<100 { pool.submit { finished.yield(number) } }
        }
        var seen: [Int] = []
        for await number in all {
            seen.append(number)
            if seen.count == 100 { break }
        }
        #expect(seen == Array(0..<100), "in its order")
    }
}

@Suite struct EventPollTests {
    @Test func `reports bear the token that was given, until the descriptor is taken out`() throws {
        let poll = try EventPoll(), queue = try CommandQueue<Int>()
        var events = EventPoll.events()
        #expect(try poll.wait(&events, milliseconds: 0) == 0)
        poll.add(queue.descriptor, token: .max)
        queue.send(1)
        #expect(try poll.wait(&events, milliseconds: 0) == 1)
        #expect(events[0].data == .max && events[0].events & LINUX_EPOLLIN != 0)
        poll.modify(queue.descriptor, 0, token: 5)
        #expect(try poll.wait(&events, milliseconds: 0) == 0)
        poll.modify(queue.descriptor, LINUX_EPOLLIN, token: 5)
        #expect(try poll.wait(&events, milliseconds: 0) == 1 && events[0].data == 5)
        poll.remove(queue.descriptor)
        #expect(try poll.wait(&events, milliseconds: 0) == 0)
    }
}
