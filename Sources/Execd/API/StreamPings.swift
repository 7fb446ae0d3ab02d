import Synchronization

/// Shows clients of streams that their execution goes on. One task does so for all: most executions are over long before their
/// first ping, and cost no task and no timer.
final class StreamPings: Sendable {
    /// Ends the pings of one stream.
    struct Ticket: Sendable {
        fileprivate let number: UInt64
        fileprivate let pings: StreamPings

        func cancel() { pings.end(number) }
    }

    private struct Stream {
        let send: @Sendable () async throws -> Void
        var due: ContinuousClock.Instant
    }

    private struct State {
        var streams: [UInt64: Stream] = [:]
        var number: UInt64 = 0
        var isTicking = false
    }

    private static let shared = StreamPings(interval: .seconds(3))
    private let interval: Duration
    private let state = Mutex(State())

    init(interval: Duration) { self.interval = interval }

    /// Until the ticket is cancelled, or the client is gone.
    static func begin(_ writer: EventWriter) -> Ticket {
        shared.begin { try await writer.send(.ping(at: CommandRunner.now())) }
    }

    /// - Parameter send: throws when the client is gone.
    func begin(_ send: @escaping @Sendable () async throws -> Void) -> Ticket {
        let (number, begins) = state.withLock { state in
            state.number += 1
            state.streams[state.number] = Stream(send: send, due: ContinuousClock.now + interval)
            defer { state.isTicking = true }
            return (state.number, !state.isTicking)
        }
        if begins { Task { await tick() } }
        return Ticket(number: number, pings: self)
    }

    private func end(_ number: UInt64) { state.withLock { $0.streams[number] = nil } }

    private func tick() async {
        while let next = next() {
            try? await Task.sleep(until: next, clock: .continuous)
            for (number, send) in takeDue() {
                // A client that reads slowly holds up its own pings alone.
                Task {
                    do {
                        try await send()
                        wait(number)
                    } catch { end(number) }
                }
            }
        }
    }

    /// When the first one is due; nil where there are none.
    private func next() -> ContinuousClock.Instant? {
        state.withLock { state in
            state.isTicking = !state.streams.isEmpty
            let first = state.streams.values.map(\.due).min()
            return first.map { min($0, ContinuousClock.now + interval) }
        }
    }

    private func takeDue() -> [(UInt64, @Sendable () async throws -> Void)] {
        state.withLock { state in
            let now = ContinuousClock.now, due = state.streams.filter { $0.value.due <= now }
            for number in due.keys { state.streams[number]?.due = now + .seconds(1 << 30) }
            return due.map { ($0.key, $0.value.send) }
        }
    }

    private func wait(_ number: UInt64) {
        state.withLock { $0.streams[number]?.due = ContinuousClock.now + interval }
    }
}
