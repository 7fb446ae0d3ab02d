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

    @Test func `who is cancelled waits no longer, and a result that comes later is told`() async {
        let pool = WorkerPool(maxThreads: 1), blocked = Semaphore()
        let (begun, begin) = AsyncStream<Void>.makeStream(), (late, told) = AsyncStream<Int>.makeStream()
        let waiting = Task {
            await pool.run(within: .seconds(3600)) {
                begin.yield()
                blocked.wait()
                return 7
            } late: {
                told.yield($0)
            }
        }
        for await _ in begun { break }
        waiting.cancel()
        #expect(await waiting.value == nil)
        blocked.signal()
        for await number in late {
            #expect(number == 7)
            break
        }
        #expect(await pool.run(within: .seconds(3600)) { 8 } == 8)
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

@Suite struct TaskThreadsTests {
    /// Threads that were seen.
    private final class Threads: Sendable {
        private let seen = Mutex(Set<pthread_t>())

        var count: Int { seen.withLock { $0.count } }

        func note() { seen.withLock { _ = $0.insert(pthread_self()) } }
    }

    /// Runs tasks on threads of their own.
    private func run<Value: Sendable>(_ threads: TaskThreads, _ body: @escaping @Sendable () async -> Value) async
        -> Value
    {
        await Task(executorPreference: threads) { await body() }.value
    }

    @Test func `all tasks are run, by no more threads than there are to be`() async {
        let threads = TaskThreads(width: 2)
        let seen = Threads()
        let total = await run(threads) {
            await withTaskGroup(of: Int.self) { group in
                for number in 0..<1000 {
                    group.addTask {
                        await Task.yield()
                        seen.note()
                        return number
                    }
                }
                return await group.reduce(0, +)
            }
        }
        #expect(total == 499_500)
        #expect((1...2).contains(seen.count))
    }

    @Test func `when every thread is held up, others run what frees them`() async {
        let threads = TaskThreads(width: 2)
        let freed = Semaphore()
        await run(threads) {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<5 { group.addTask { freed.wait() } }
                for _ in 0..<5 { group.addTask { freed.signal() } }
            }
        }
    }

    @Test func `tasks that sleep go on in the order of their times, on these threads`() async {
        let threads = TaskThreads(width: 1)
        let order = await run(threads) {
            await withTaskGroup(of: Int.self) { group in
                for milliseconds in [30, 10, 20, 0] {
                    group.addTask {
                        try? await Task.sleep(for: .milliseconds(milliseconds))
                        return milliseconds
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
        }
        #expect(order == [0, 10, 20, 30])
    }

    @Test func `a sleep that is cancelled ends at once, and one of no sensible length traps nothing`() async {
        let threads = TaskThreads(width: 1)
        let asleep = Task(executorPreference: threads) { try await Task.sleep(for: .seconds(Int64.max)) }
        let past = Task(executorPreference: threads) { try? await Task.sleep(for: .seconds(-5)) }
        await past.value
        asleep.cancel()
        await #expect(throws: CancellationError.self) { try await asleep.value }
    }

    @Test func `actors and continuations work there as they do elsewhere`() async {
        actor Counter {
            var value = 0
            func add() { value += 1 }
        }
        let threads = TaskThreads(width: 3)
        let counter = Counter()
        await run(threads) {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<200 {
                    group.addTask {
                        await withCheckedContinuation { $0.resume() }
                        await counter.add()
                    }
                }
            }
        }
        #expect(await counter.value == 200)
    }
}

@Suite struct TimerHeapTests {
    @Test func `timers come in the order of their times`() {
        var heap = TimerHeap<Int>()
        let times = (0..<500).map { _ in UInt64.random(in: 0...1000) }
        for (place, time) in times.enumerated() { heap.insert(time, place) }
        var popped: [UInt64] = []
        while let place = heap.pop(now: 1000) { popped.append(times[place]) }
        #expect(popped == times.sorted() && heap.first == nil)
        heap.insert(5, 1)
        #expect(heap.pop(now: 4) == nil && heap.pop(now: 5) == 1)
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
