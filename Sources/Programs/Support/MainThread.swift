import Synchronization
import System

/// The thread that a program begins on.
package enum MainThread {
    /// Runs what waits, and returns when it is done.
    package static func wait(for body: @escaping @Sendable () async throws -> Void) throws {
        let done = Semaphore()
        let outcome = Mutex<(any Error)?>(nil)
        Task.detached {
            do { try await body() } catch { outcome.withLock { $0 = error } }
            done.signal()
        }
        done.wait()
        if let error = outcome.withLock({ $0 }) { throw error }
    }
}
