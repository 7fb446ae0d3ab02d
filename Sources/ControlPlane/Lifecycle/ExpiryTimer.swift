import Synchronization

/// Reports expired sandboxes, with one sleeping task for all.
final class ExpiryTimer: Sendable {
    private struct State {
        var ends: [String: Timestamp] = [:]
        /// Sleeps until the next expiry; cancelled when expiries change.
        var sleep: Task<Void, Never>?
    }

    private let state = Mutex(State())

    /// The longest sleep, in microseconds. Sleeping uses the monotonic clock, and the wall clock may be changed
    /// meanwhile.
    private static let maxSleep: Int64 = 10_000_000

    /// Sets, changes or (with nil) removes the expiry of a sandbox.
    func set(_ id: String, _ end: Timestamp?) {
        state.withLock { state in
            guard state.ends[id] != end else { return }
            state.ends[id] = end
            state.sleep?.cancel()
        }
    }

    /// Calls `expired` for each sandbox whose time has come, until the task is cancelled.
    func run(_ expired: @escaping @Sendable (String) async -> Void) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for id in takeDue(at: .now()) { group.addTask { await expired(id) } }
                let sleep = sleepUntilNext(from: .now())
                await withTaskCancellationHandler {
                    await sleep.value
                } onCancel: {
                    sleep.cancel()
                }
            }
        }
    }

    /// Removes and returns the expired sandboxes.
    func takeDue(at now: Timestamp) -> [String] {
        state.withLock { state in
            let due = state.ends.filter { $0.value <= now }.map(\.key)
            for id in due { state.ends[id] = nil }
            return due
        }
    }

    private func sleepUntilNext(from now: Timestamp) -> Task<Void, Never> {
        state.withLock { state in
            let next = state.ends.values.min().map { max(0, $0.microseconds - now.microseconds) }
            let pause = Duration.microseconds(min(next ?? Self.maxSleep, Self.maxSleep))
            let sleep = Task<Void, Never> { try? await Task.sleep(for: pause) }
            state.sleep = sleep
            return sleep
        }
    }
}
