import NIOCore
import Synchronization
import System
import Testing

@testable import HTTPServer

@Suite struct BodyQueueTests {
    private let resumed = Count()

    private final class Count: Sendable {
        private let value = Atomic(0)
        func add() { value.wrappingAdd(1, ordering: .relaxed) }
        var now: Int { value.load(ordering: .relaxed) }
    }

    private func queue() -> BodyQueue { BodyQueue(resume: resumed.add) }

    private func part(_ byte: UInt8, _ count: Int) -> ByteBuffer { ByteBuffer(repeating: byte, count: count) }

    @Test func `a task and a thread take the parts by turns, in their order, and the end behind them`() async throws {
        let queue = queue()
        #expect(queue.put([part(1, 1), part(2, 2)]))
        #expect(try await queue.next() == part(1, 1))
        #expect(queue.next(until: 0) == part(2, 2))
        #expect(queue.next(until: 0) == nil)
        #expect(queue.put([part(3, 3)]))
        queue.finish()
        #expect(queue.next(until: .max) == part(3, 3))
        #expect(queue.next(until: .max) == nil)
        #expect(try await queue.next() == nil)
    }

    @Test func `who waits gets what comes, whether it is a task or a thread`() async throws {
        let queue = queue()
        async let first = queue.next()
        _ = queue.put([part(1, 1)])
        #expect(try await first == part(1, 1))
        let threads = WorkerPool(maxThreads: 1)
        async let second = threads.run { queue.next(until: .max) }
        _ = queue.put([part(2, 1)])
        #expect(await second == part(2, 1))
        async let end = threads.run { queue.next(until: .max) }
        queue.finish()
        #expect(await end == nil)
    }

    @Test func `a body that breaks off says so behind what has come`() async throws {
        let queue = queue()
        _ = queue.put([part(1, 1)])
        queue.finish(.failure(HTTPBodyError.clientGone))
        queue.finish()
        #expect(try await queue.next() == part(1, 1))
        #expect(queue.next(until: .max) == nil)
        await #expect(throws: HTTPBodyError.clientGone) { try await queue.next() }
    }

    @Test func `a full queue stops the socket once, and lets it go on once when little is left`() async throws {
        let queue = queue(), quarter = part(1, 256 << 10)
        #expect(queue.put([quarter, quarter, quarter]))
        #expect(!queue.put([quarter]))
        _ = try await queue.next()
        #expect(resumed.now == 0)
        _ = queue.next(until: 0)
        #expect(resumed.now == 1)
        _ = try await queue.next()
        #expect(resumed.now == 1)
        #expect(queue.put([quarter]))
    }

    @Test func `many small parts fill a queue by the memory that they take`() async throws {
        let queue = queue()
        #expect(!queue.put(Array(repeating: part(1, 1), count: 5000)))
        for _ in 0..<5000 { _ = queue.next(until: 0) }
        #expect(resumed.now == 1)
        #expect(queue.put([part(1, 1)]))
    }

    @Test(arguments: [true, false])
    func `what nobody reads any more is thrown away, and the socket goes on`(unread: Bool) async throws {
        let queue = queue()
        #expect(!queue.put([part(1, 2 << 20)]))
        queue.leave(unread: unread)
        #expect(resumed.now == 1)
        #expect(queue.put([part(1, 2 << 20)]))
    }

    @Test func `a body that is being read outlives its request`() async throws {
        let queue = queue()
        var body: HTTPBody? = HTTPBody(queue)
        var reading: HTTPBody.Iterator? = body?.makeAsyncIterator()
        body = nil
        #expect(!queue.put([part(1, 2 << 20)]))
        #expect(try await reading?.next() == part(1, 2 << 20))
        reading = nil
        _ = queue.put([part(1, 1)])
        #expect(queue.next(until: 0) == nil)
    }

    @Test func `a task that is cancelled waits no longer`() async throws {
        let queue = queue()
        let task = Task { try await queue.next() }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
