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

    /// The same without waiting for the result.
    package func submit(_ work: @escaping Work) { crew.take(work) }
}
