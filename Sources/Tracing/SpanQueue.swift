import Synchronization

/// Spans that wait for their export: as many as there is room for. What comes beyond is dropped and counted, so that a collector
/// that is away, or a client that has everything recorded, costs a bounded amount of memory and holds up nobody.
package final class SpanQueue: Sendable {
    private struct State {
        var waiting: [SpanRecord] = []
        var dropped = 0
        var isAnnounced = false
    }

    package let capacity: Int
    /// How many leave together.
    package let batch: Int
    private let state = Mutex(State())
    /// For whoever exports: one for each time that a batch has come together, and for each `call`. To be read by one task.
    package let calls: AsyncStream<Void>
    private let caller: AsyncStream<Void>.Continuation

    package init(capacity: Int = 2048, batch: Int = 512) {
        self.capacity = max(1, capacity)
        self.batch = min(max(1, batch), self.capacity)
        (calls, caller) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    package func put(_ span: SpanRecord) {
        let isFull = state.withLock { state in
            guard state.waiting.count < capacity else {
                state.dropped += 1
                return false
            }
            state.waiting.append(span)
            guard state.waiting.count >= batch, !state.isAnnounced else { return false }
            state.isAnnounced = true
            return true
        }
        if isFull { call() }
    }

    package func call() { caller.yield() }

    /// The oldest, up to a batch of them.
    package func take() -> [SpanRecord] {
        state.withLock { state in
            state.isAnnounced = false
            let taken = Array(state.waiting.prefix(batch))
            state.waiting.removeFirst(taken.count)
            return taken
        }
    }

    /// Counts spans that were taken and did not arrive.
    package func lose(_ count: Int) { state.withLock { $0.dropped += count } }

    /// How many spans will never arrive.
    package var dropped: Int { state.withLock { $0.dropped } }
    package var count: Int { state.withLock { $0.waiting.count } }
}
