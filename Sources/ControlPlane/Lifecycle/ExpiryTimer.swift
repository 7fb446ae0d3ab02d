import Synchronization

/// Says when sandboxes have reached their end: one sleeping task for all of them.
final class ExpiryTimer: Sendable {
    private struct State {
        var ends: [String: Timestamp] = [:]
        /// Sleeps until the next end; a change of the ends wakes it.
        var sleep: Task<Void, Never>?
    }

    private let state = Mutex(State())

    /// Longest sleep, in microseconds: the wall clock may be set while this sleeps by the other one.
    private static let maxSleep: Int64 = 10_000_000

    /// Sets, changes or (with nil) forgets the end of a sandbox.
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

    /// The sandboxes whose end has come; each is named once.
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
