import Metrics
import Synchronization

/// A destination of events besides the sandbox's event stream. Called on threads that must not wait.
protocol EventOutlet: AnyObject, Sendable {
    func put(_ event: DecisionEvent, of sandbox: String)
}

/// A bounded queue that one task empties. Adding never waits; items that do not fit are dropped and counted.
///
/// A sandbox may have as much of it as is free, so that one that fills its part leaves as much again for the others: of two
/// that flood, each has a third.
final class Outbox<Item: Sendable>: Sendable {
    private struct State {
        var items: [Item] = []
        /// How many items of each sandbox are waiting.
        var waiting: [String: Int] = [:]
        var lost = 0
    }

    let capacity: Int
    private let state = Mutex(State())
    private let bell: AsyncStream<Void>.Continuation
    private let rings: AsyncStream<Void>
    private let losses: Counter

    init(capacity: Int, name: String) {
        self.capacity = capacity
        (rings, bell) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        losses = Counter(label: "sallyport_egress_events_lost_total", dimensions: [("outlet", name)])
    }

    /// How many items were dropped since the start.
    var lost: Int { state.withLock { $0.lost } }

    func put(_ item: Item, of sandbox: String) {
        let fits = state.withLock { state in
            guard state.waiting[sandbox] ?? 0 < capacity - state.items.count else {
                state.lost += 1
                return false
            }
            state.items.append(item)
            state.waiting[sandbox, default: 0] += 1
            return true
        }
        if fits { bell.yield() } else { losses.increment() }
    }

    /// Counts items that could not be delivered.
    func lose(_ count: Int) {
        state.withLock { $0.lost += count }
        losses.increment(by: count)
    }

    /// Delivers items, oldest first, until `close` or until the task is cancelled.
    func run(_ deliver: @Sendable ([Item]) async -> Void) async {
        for await _ in rings {
            let items = state.withLock { state in
                defer { (state.items, state.waiting) = ([], [:]) }
                return state.items
            }
            if !items.isEmpty { await deliver(items) }
        }
    }

    /// Stops after delivering what is in the queue.
    func close() { bell.finish() }
}
