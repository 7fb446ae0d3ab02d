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
