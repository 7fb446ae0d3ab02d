import Synchronization
import Testing

@testable import Execd

@Suite struct ChangeMeterTests {
    /// A tree that takes a time to look at, by a clock of its own.
    private final class Tree: Sendable {
        let state = Mutex((bytes: Int64(0), now: UInt64(1), cost: UInt64(1_000_000), looks: 0))

        var looks: Int { state.withLock { $0.looks } }
        func pass(_ nanoseconds: UInt64) { state.withLock { $0.now += nanoseconds } }
        func set(_ bytes: Int64) { state.withLock { $0.bytes = bytes } }
        @Sendable func now() -> UInt64 { state.withLock { $0.now } }
        @Sendable func look() async throws -> Int64 {
            state.withLock { state in
                state.now += state.cost
                state.looks += 1
                return state.bytes
            }
        }
    }

    @Test func `many questions take one look, and another when it has grown old for what it took`() async throws {
        let tree = Tree(), meter = ChangeMeter(now: tree.now)
        tree.set(10)
        for _ in 0..<100 { #expect(try await meter.bytes(limit: 100, tree.look) == 10) }
        #expect(tree.looks == 1)
        tree.set(20)
        tree.pass(ChangeMeter.share * 1_000_000 - 1)
        #expect(try await meter.bytes(limit: 100, tree.look) == 10)
        tree.pass(1)
        #expect(try await meter.bytes(limit: 100, tree.look) == 20)
        // However long it takes, no look counts for longer than that.
        tree.state.withLock { $0.cost = .max / 4 }
        meter.forget()
        _ = try await meter.bytes(limit: 100, tree.look)
        tree.state.withLock { $0.cost = 1 }
        tree.set(30)
        tree.pass(ChangeMeter.longest)
        #expect(try await meter.bytes(limit: 100, tree.look) == 30)
    }

    @Test func `what is written meanwhile is added, and nothing is refused for a guess`() async throws {
        let tree = Tree(), meter = ChangeMeter(now: tree.now)
        _ = try await meter.bytes(limit: 100, tree.look)
        meter.add(60)
        #expect(try await meter.bytes(limit: 100, tree.look) == 60 && tree.looks == 1)
        tree.set(50)
        meter.add(.max)
        #expect(try await meter.bytes(limit: 100, tree.look) == 50 && tree.looks == 2)
        meter.add(-5)
        tree.set(120)
        meter.add(60)
        #expect(try await meter.bytes(limit: 100, tree.look) == 120, "it is measured, and it is as much")
    }

    @Test func `what was removed counts at once`() async throws {
        let tree = Tree(), meter = ChangeMeter(now: tree.now)
        tree.set(200)
        #expect(try await meter.bytes(limit: 100, tree.look) == 200)
        tree.set(0)
        meter.forget()
        #expect(try await meter.bytes(limit: 100, tree.look) == 0)
    }

    @Test func `a look that began before something was removed tells nobody who asks later`() async throws {
        let tree = Tree(), meter = ChangeMeter(now: tree.now)
        let (begun, begin) = AsyncStream<Void>.makeStream(), (allowed, allow) = AsyncStream<Void>.makeStream()
        let first = Task {
            try await meter.bytes(limit: 100) {
                begin.yield()
                for await _ in allowed { break }
                return 200
            }
        }
        for await _ in begun { break }
        meter.forget()
        #expect(try await meter.bytes(limit: 100, tree.look) == 0)
        allow.yield()
        #expect(try await first.value == 200)
        #expect(try await meter.bytes(limit: 100) { 7 } == 0, "the later look counts")
    }
}
