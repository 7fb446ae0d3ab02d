import Synchronization

/// Threads for blocking work (disk, netlink, programs), because Swift's own few threads must never block.
///
/// Threads are created on demand, and end with the pool's last reference, after the waiting work is done.
package final class WorkerPool: Sendable {
    package typealias Work = @Sendable () -> Void

    private let crew: Crew<Work>

    package init(maxThreads: Int) { crew = Crew(maxThreads: maxThreads) { $0() } }

    deinit { crew.dismiss() }

    /// Runs `body` on one of the threads, when one is free.
    package func run<Result: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        let outcome: Swift.Result<Result, Failure> = await withCheckedContinuation { continuation in
            submit {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try outcome.get()
    }

    /// The same for work that may never end: its thread is then lost, but not its caller.
    /// - Parameter late: gets a result for which nobody waits any more.
    /// - Returns: nil if there is no result in time, or when the task is cancelled. What has not begun by then never does.
    package func run<Result: Sendable>(
        within limit: Duration, _ body: @escaping @Sendable () -> Result,
        late: @escaping @Sendable (Result) -> Void = { _ in }
    ) async -> Result? {
        let answer = FirstAnswer<Result>()
        let clock = Task {
            try await Task.sleep(for: limit)
            answer.give(nil)
        }
        defer { clock.cancel() }
        submit {
            guard !answer.isGiven else { return }
            let result = body()
            if !answer.give(result) { late(result) }
        }
        return await withTaskCancellationHandler {
            await answer.value
        } onCancel: {
            answer.give(nil)
        }
    }

    /// The same without waiting for the result.
    package func submit(_ work: @escaping Work) { crew.take(work) }
}

/// What the first of several says, for one that waits.
private final class FirstAnswer<Value: Sendable>: Sendable {
    private struct State {
        var isGiven = false
        var value: Value?
        var waiting: CheckedContinuation<Value?, Never>?
    }
    private let state = Mutex(State())

    var isGiven: Bool { state.withLock { $0.isGiven } }

    /// - Returns: true to the first caller only.
    @discardableResult func give(_ value: Value?) -> Bool {
        let (isFirst, waiting) = state.withLock { state in
            guard !state.isGiven else { return (false, CheckedContinuation<Value?, Never>?.none) }
            (state.isGiven, state.value) = (true, value)
            return (true, state.waiting.take())
        }
        waiting?.resume(returning: value)
        return isFirst
    }

    /// For one caller.
    var value: Value? {
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
