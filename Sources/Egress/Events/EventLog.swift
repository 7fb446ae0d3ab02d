import NetworkPolicy
import Synchronization

/// A sandbox's recent events and their readers. Writing never waits for a reader: a reader is signalled and fetches
/// events from its own position.
package final class EventLog: Sendable {
    /// The most readers of one sandbox.
    static let maximumReaders = 8

    private struct State {
        var ring: EventRing
        var bells: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var nextBell: UInt64 = 0
        var isClosed = false
    }

    let sandbox: String
    private let state: Mutex<State>
    private let time: @Sendable () -> UInt64

    /// - Parameter time: milliseconds since 1970.
    init(sandbox: String, capacity: Int, time: @escaping @Sendable () -> UInt64) {
        self.sandbox = sandbox
        self.time = time
        state = Mutex(State(ring: EventRing(generation: time(), capacity: capacity)))
    }

    func event(_ kind: DecisionEvent.Kind) -> DecisionEvent { DecisionEvent(time: time(), kind: kind) }

    func append(_ kind: DecisionEvent.Kind) { append(event(kind)) }

    func append(_ event: DecisionEvent) {
        state.withLock { state in
            state.ring.append(event)
            if !state.bells.isEmpty { for bell in state.bells.values { bell.yield() } }
        }
    }

    func events(after position: EventRing.Position?, limit: Int = 64) -> EventRing.Batch {
        state.withLock { $0.ring.events(after: position, limit: limit) }
    }

    /// A stream that yields when there are new events and ends with the log; `nil` if there are too many readers.
    func subscribe() -> (bell: AsyncStream<Void>, ring: AsyncStream<Void>.Continuation)? {
        let (bell, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let isIn = state.withLock { state in
            guard !state.isClosed, state.bells.count < Self.maximumReaders else { return false }
            let number = state.nextBell
            state.nextBell += 1
            state.bells[number] = continuation
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { _ = $0.bells.removeValue(forKey: number) }
            }
            return true
        }
        return isIn ? (bell, continuation) : nil
    }

    /// Ends every reader's stream.
    package func close() {
        let bells = state.withLock { state in
            state.isClosed = true
            defer { state.bells = [:] }
            return Array(state.bells.values)
        }
        for bell in bells { bell.finish() }
    }
}
