import Synchronization

/// What the first of several says, for one that waits: a result or its time limit, for one.
package final class FirstAnswer<Value: Sendable>: Sendable {
    private struct State {
        var isGiven = false
        var value: Value?
        var waiting: CheckedContinuation<Value?, Never>?
    }
    private let state = Mutex(State())

    package init() {}

    package var isGiven: Bool { state.withLock { $0.isGiven } }

    /// - Returns: true to the first caller only.
    @discardableResult package func give(_ value: Value?) -> Bool {
        let (isFirst, waiting) = state.withLock { state in
            guard !state.isGiven else { return (false, CheckedContinuation<Value?, Never>?.none) }
            (state.isGiven, state.value) = (true, value)
            return (true, state.waiting.take())
        }
        waiting?.resume(returning: value)
        return isFirst
    }

    /// For one caller.
    package var value: Value? {
        get async {
            await withCheckedContinuation { continuation in
                let given: Value?? = state.withLock { state in
                    guard !state.isGiven else { return .some(state.value) }
                    state.waiting = continuation
                    return .none
                }
                if let given { continuation.resume(returning: given) }
            }
        }
    }
}
