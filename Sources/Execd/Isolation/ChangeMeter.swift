import Synchronization
import System

/// How much sessions have changed, for who asks often: to know it, every file of theirs has to be looked at.
///
/// A measure counts for twenty times as long as it took, so that measuring takes a twentieth of one thread's time, and little is
/// known at once; but for five seconds at most, so that what takes longer than a quarter of a second takes more. What is written
/// through the API meanwhile is added, as far as its requests say how much it is.
final class ChangeMeter: Sendable {
    private struct Measuring {
        var generation: UInt64
        var task: Task<Int64, any Error>
    }
    private struct State {
        var bytes: Int64 = 0
        /// Of `bytes`, what nobody has measured.
        var added: Int64 = 0
        /// Nanoseconds until which `bytes` counts.
        var end: UInt64 = 0
        var measuring: Measuring?
        /// Counts what has made earlier measures worthless.
        var generation: UInt64 = 0
    }

    /// Nanoseconds.
    static let longest: UInt64 = 5_000_000_000
    static let share: UInt64 = 20

    typealias Measure = @Sendable () async throws -> Int64

    private let now: @Sendable () -> UInt64
    private let state = Mutex(State())

    /// - Parameter now: monotonic nanoseconds.
    init(now: @escaping @Sendable () -> UInt64 = { SystemClock.monotonicNanoseconds() }) { self.now = now }

    /// What has been changed. From `limit` on it has been measured, and not guessed.
    func bytes(limit: Int64, _ measure: @escaping Measure) async throws -> Int64 {
        let (known, isGuess) = try await current(measure)
        guard known >= limit, isGuess else { return known }
        forget()
        return try await current(measure).bytes
    }

    /// Something of this size is about to be written.
    func add(_ bytes: Int64) {
        state.withLock { state in
            state.added = state.added.addingClamped(bytes)
            state.bytes = state.bytes.addingClamped(bytes)
        }
    }

    /// There may be less now.
    func forget() {
        state.withLock { state in
            state.generation += 1
            state.end = 0
        }
    }

    private func current(_ measure: @escaping Measure) async throws -> (bytes: Int64, isGuess: Bool) {
        let (known, task) = state.withLock { state -> ((Int64, Bool)?, Task<Int64, any Error>?) in
            if now() < state.end { return ((state.bytes, state.added > 0), nil) }
            if let measuring = state.measuring, measuring.generation == state.generation {
                return (nil, measuring.task)
            }
            return (nil, begin(&state, measure))
        }
        if let known { return known }
        return (try await task!.value, false)
    }

    private func begin(_ state: inout State, _ measure: @escaping Measure) -> Task<Int64, any Error> {
        let generation = state.generation
        // What is written from now on may be counted or not.
        state.added = 0
        let task = Task { [self] in
            let begun = now()
            let outcome: Result<Int64, any Error>
            do { outcome = .success(try await measure()) } catch { outcome = .failure(error) }
            let ended = now()
            // This waits for the lock until the task is entered.
            self.state.withLock { state in
                guard state.generation == generation else { return }
                state.measuring = nil
                guard case .success(let bytes) = outcome else { return }
                state.bytes = bytes.addingClamped(state.added)
                let (time, overflows) = (ended &- begun).multipliedReportingOverflow(by: Self.share)
                state.end = ended &+ (overflows ? Self.longest : min(time, Self.longest))
            }
            return try outcome.get()
        }
        state.measuring = Measuring(generation: generation, task: task)
        return task
    }
}

extension Int64 {
    /// Of two that are not negative; the largest number where there is none for the sum.
    fileprivate func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflows) = addingReportingOverflow(Swift.max(0, other))
        return overflows ? .max : sum
    }
}
