import Synchronization

/// Tasks that wait for a condition to come true, each no longer than it says.
package final class Waiters: Sendable {
    /// How a wait has ended.
    package enum End: Hashable, Sendable {
        case conditionMet
        case timeOver
        /// The task was cancelled: nothing is known of the condition.
        case cancelled
    }

    private struct State {
        var last: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
        /// Waits whose timers have rung. The clock is not asked again: a timer rings once, and may ring a moment early.
        var over: Set<UInt64> = []
    }

    private let state = Mutex(State())

    package init() {}

    /// Waits until the condition holds. It is looked at when the wait begins and after each `wake`.
    /// - Parameter condition: may take the lock that guards what it looks at.
    package func wait(atMost limit: Duration, until condition: () -> Bool) async -> End {
        if condition() { return .conditionMet }
        let deadline = ContinuousClock.now + limit
        // Each wait has a number of its own, so that the timer of one that is over wakes nobody.
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        let timer = Task { [self] in
            try await Task.sleep(until: deadline, clock: .continuous)
            state.withLock {
                $0.over.insert(number)
                return $0.waiting.removeValue(forKey: number)
            }?.resume()
        }
        defer {
            timer.cancel()
            // One that rings now leaves its number behind, which no other wait has.
            state.withLock { _ = $0.over.remove(number) }
        }
        func isOver() -> Bool { Task.isCancelled || state.withLock { $0.over.contains(number) } }
        while true {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    state.withLock { $0.waiting[number] = continuation }
                    // Looked at again: what has changed before it was entered woke nobody.
                    if condition() || isOver() { wake(number) }
                }
            } onCancel: {
                wake(number)
            }
            if condition() { return .conditionMet }
            if Task.isCancelled { return .cancelled }
            if isOver() { return .timeOver }
        }
    }

    /// Has all who wait look at their conditions. To be called after each change that one of them may wait for.
    package func wake() {
        let woken = state.withLock { state in
            defer { state.waiting.removeAll(keepingCapacity: true) }
            return Array(state.waiting.values)
        }
        for continuation in woken { continuation.resume() }
    }

    private func wake(_ number: UInt64) {
        state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
    }
}
