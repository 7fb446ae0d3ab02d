import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Threads for blocking work (disk, netlink, programs), because Swift's own few threads must never block.
///
/// Threads are created on demand, and end with the pool's last reference, after the waiting work is done.
package final class WorkerPool: Sendable {
    package typealias Work = @Sendable () -> Void

    private let crew: Crew

    package init(maxThreads: Int) { crew = Crew(maxThreads: max(1, maxThreads)) }

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

/// The threads and the waiting work.
private final class Crew: @unchecked Sendable {
    private struct State {
        var waiting: [WorkerPool.Work] = []
        /// The index of the next item; those before it are done.
        var next = 0
        var threads = 0
        var idle = 0
        var isDismissed = false

        mutating func pop() -> WorkerPool.Work? {
            guard next < waiting.count else { return nil }
            let work = waiting[next]
            next += 1
            if next == waiting.count {
                waiting = []
                next = 0
            } else if next > 64, next > waiting.count / 2 {
                waiting.removeFirst(next)
                next = 0
            }
            return work
        }
    }

    private let maxThreads: Int
    private let state = Mutex(State())
    /// Counts waiting work, plus one for each thread that should end. A pointer, since a semaphore must not move.
    private let signals = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init(maxThreads: Int) {
        self.maxThreads = maxThreads
        sem_init(signals, 0, 0)
    }

    deinit {
        sem_destroy(signals)
        signals.deallocate()
    }

    func take(_ work: @escaping WorkerPool.Work) {
        let needsThread = state.withLock { state in
            state.waiting.append(work)
            guard state.waiting.count - state.next > state.idle, state.threads < maxThreads else { return false }
            state.threads += 1
            return true
        }
        if needsThread { hire() }
        sem_post(signals)
    }

    private func hire() {
        do throws(SystemCallError) {
            try DetachedThread.start { [self] in serve() }
        } catch {
            // No thread can be created: existing ones do the work, or the caller if there are none.
            let work = state.withLock { state in
                state.threads -= 1
                return state.threads == 0 ? state.pop() : nil
            }
            work?()
        }
    }

    func dismiss() {
        let threads = state.withLock { state in
            state.isDismissed = true
            return state.threads
        }
        for _ in 0..<threads { sem_post(signals) }
    }

    private func serve() {
        while true {
            state.withLock { $0.idle += 1 }
            while sem_wait(signals) != 0 {}
            let (work, isOver) = state.withLock { state -> (WorkerPool.Work?, Bool) in
                state.idle -= 1
                let work = state.pop()
                return (work, work == nil && state.isDismissed)
            }
            work?()
            if isOver { return }
        }
    }
}
