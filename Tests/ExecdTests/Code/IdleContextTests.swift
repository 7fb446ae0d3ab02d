import Synchronization
import Testing

@testable import Execd

/// Contexts that nobody uses, by a clock that the test turns.
@Suite struct IdleContextTests {
    private final class Clock: Sendable {
        private let time = Mutex<Int64>(0)

        var now: Int64 { time.withLock { $0 } }
        func pass(_ milliseconds: Int64) { time.withLock { $0 += milliseconds } }
    }

    private final class Closed: Sendable {
        private let found = Mutex<[String]>([])

        var ids: [String] { found.withLock { $0 } }
        func add(_ id: String) { found.withLock { $0.append(id) } }
    }

    /// Runs nothing.
    private final class NoKernel: CodeKernel {
        private let id: String
        private let closed: Closed

        init(id: String, closed: Closed) { (self.id, self.closed) = (id, closed) }

        func execute(_ code: String) async -> KernelRun {
            let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
            continuation.finish()
            return KernelRun(events: events) { _ in }
        }

        func interrupt() {}
        func close() async { closed.add(id) }
    }

    private let clock = Clock()
    private let closed = Closed()

    private func make(longestIdle: Int64) -> CodeContexts {
        CodeContexts(
            longestIdle: longestIdle, now: { [clock] in clock.now },
            makeKernel: { [closed] _, id, _ in NoKernel(id: id, closed: closed) })
    }

    private func left(_ contexts: CodeContexts) async -> [String] {
        await contexts.closeIdle()
        return contexts.all(of: nil).map(\.id)
    }

    @Test func `a context that nobody uses is closed, and a default one or one that runs is not`() async throws {
        let contexts = make(longestIdle: 1000)
        let idle = try await contexts.create(.python, named: "python", folder: nil)
        let used = try await contexts.create(.python, named: "python", folder: nil)
        let standard = try await contexts.standard(.python, folder: nil)
        let turn = try used.enter()
        clock.pass(999)
        #expect(await left(contexts) == [idle.id, used.id, standard.id])
        clock.pass(1)
        #expect(await left(contexts) == [used.id, standard.id])
        #expect(closed.ids == [idle.id] && contexts[idle.id] == nil)
        #expect(throws: RunQueue.Refusal.closed) { try idle.enter() }
        clock.pass(5000)
        used.leave(turn)
        clock.pass(999)
        #expect(await left(contexts) == [used.id, standard.id], "from the end of its run on")
        clock.pass(1)
        #expect(await left(contexts) == [standard.id])
    }

    @Test func `the time in which a sandbox is paused is none in which a context was not used`() async throws {
        let contexts = make(longestIdle: 20_000)
        let context = try await contexts.create(.bash, named: "bash", folder: nil)
        clock.pass(3_600_000)
        for _ in 0..<4 {
            #expect(await left(contexts) == [context.id])
            clock.pass(5000)
        }
        #expect(await left(contexts) == [])
    }

    @Test func `no context is closed where none is to be`() async throws {
        let contexts = make(longestIdle: 0)
        let context = try await contexts.create(.bash, named: "bash", folder: nil)
        for _ in 0..<1000 { clock.pass(5000) }
        #expect(await left(contexts) == [context.id])
    }

    @Test func `beyond the limit the one that was not used for longest goes, if that is long`() async throws {
        let contexts = make(longestIdle: 0)
        var made: [CodeContext] = []
        for _ in 0..<CodeContexts.maxContexts {
            made.append(try await contexts.create(.bash, named: "bash", folder: nil))
            clock.pass(1)
        }
        clock.pass(CodeContexts.longIdle - Int64(CodeContexts.maxContexts) - 1)
        await #expect(throws: ExecdError.self) { try await contexts.create(.bash, named: "bash", folder: nil) }
        // The first is in use now, and the second has been idle long enough in a moment.
        let turn = try made[0].enter()
        clock.pass(2)
        let next = try await contexts.create(.bash, named: "bash", folder: nil)
        #expect(closed.ids == [made[1].id])
        #expect(contexts.all(of: nil).map(\.id) == [made[0].id] + made[2...].map(\.id) + [next.id])
        made[0].leave(turn)
    }
}
