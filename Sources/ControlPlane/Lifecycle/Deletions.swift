import Synchronization
import System

/// The deletions in progress, one for each sandbox, each in a task of its own: who has asked for one may stop to wait for it, and it
/// goes on.
final class Deletions: Sendable {
    private final class Work: Sendable {
        let outcome = Mutex<Result<Void, APIError>?>(nil)
        let waiters = Waiters()
    }
    private let running = Mutex<[String: Work]>([:])

    /// Begins a deletion, or joins the one that is at work.
    /// - Returns: whether this call has begun it; how it ended, nil if it has not in time.
    func run(
        _ id: String, within patience: Duration, _ body: @escaping @Sendable () async throws(APIError) -> Void
    ) async -> (isFirst: Bool, outcome: Result<Void, APIError>?) {
        let (isFirst, work) = running.withLock { running in
            if let work = running[id] { return (false, work) }
            let work = Work()
            running[id] = work
            Task {
                let outcome: Result<Void, APIError>
                do throws(APIError) { outcome = .success(try await body()) } catch { outcome = .failure(error) }
                work.outcome.withLock { $0 = outcome }
                // Waits for the lock until the task is registered.
                self.running.withLock { $0[id] = nil }
                work.waiters.wake()
            }
            return (true, work)
        }
        _ = await work.waiters.wait(atMost: patience) { work.outcome.withLock { $0 != nil } }
        return (isFirst, work.outcome.withLock { $0 })
    }
}
