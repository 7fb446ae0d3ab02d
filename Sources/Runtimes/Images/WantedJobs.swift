import Synchronization

/// Runs equal concurrent jobs once, as `SingleFlight` does, for jobs that are of no use once nobody waits for them: who is
/// cancelled waits no longer, and with the last one the job is cancelled.
final class WantedJobs<Key: Hashable & Sendable, Value: Sendable, Failure: Error>: Sendable {
    private typealias Outcome = Result<Value, Failure>

    private struct Job {
        var number: UInt64
        var task: Task<Void, Never>
        var waiting: [UInt64: CheckedContinuation<Outcome?, Never>] = [:]
    }
    private struct State {
        var last: UInt64 = 0
        var jobs: [Key: Job] = [:]

        mutating func number() -> UInt64 {
            last += 1
            return last
        }
    }

    private let state = Mutex(State())

    /// - Returns: nil if the caller's task was cancelled.
    func run(
        _ key: Key, _ job: @escaping @Sendable () async throws(Failure) -> Value
    ) async throws(Failure) -> Value? {
        let number = state.withLock { $0.number() }
        let outcome: Outcome? = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enter(key, number, continuation, job)
                // Who was cancelled before found nobody to take out.
                if Task.isCancelled { leave(key, number) }
            }
        } onCancel: {
            leave(key, number)
        }
        return try outcome?.get()
    }

    private func enter(
        _ key: Key, _ number: UInt64, _ continuation: CheckedContinuation<Outcome?, Never>,
        _ job: @escaping @Sendable () async throws(Failure) -> Value
    ) {
        state.withLock { state in
            guard state.jobs[key] == nil else {
                state.jobs[key]?.waiting[number] = continuation
                return
            }
            let own = state.number()
            let task = Task {
                let outcome: Outcome
                do throws(Failure) { outcome = .success(try await job()) } catch { outcome = .failure(error) }
                // This waits for the lock until the job is entered.
                self.end(key, own, outcome)
            }
            state.jobs[key] = Job(number: own, task: task, waiting: [number: continuation])
        }
    }

    private func end(_ key: Key, _ number: UInt64, _ outcome: Outcome) {
        let waiting = state.withLock { state in
            // One that nobody wanted any more may have had a successor.
            guard state.jobs[key]?.number == number else { return [] as [CheckedContinuation<Outcome?, Never>] }
            return Array((state.jobs.removeValue(forKey: key)?.waiting ?? [:]).values)
        }
        for continuation in waiting { continuation.resume(returning: outcome) }
    }

    private func leave(_ key: Key, _ number: UInt64) {
        let continuation = state.withLock { state in
            guard let continuation = state.jobs[key]?.waiting.removeValue(forKey: number) else {
                return nil as CheckedContinuation<Outcome?, Never>?
            }
            if state.jobs[key]?.waiting.isEmpty == true { state.jobs.removeValue(forKey: key)?.task.cancel() }
            return continuation
        }
        continuation?.resume(returning: nil)
    }
}
