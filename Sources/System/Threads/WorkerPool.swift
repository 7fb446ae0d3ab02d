import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Threads for what blocks (disk, netlink, programs), away from Swift's own few, which must never wait.
///
/// Threads are made when there is work for them, and end with the pool's last reference, after what waits is done.
package final class WorkerPool: Sendable {
    package typealias Work = @Sendable () -> Void

    private let crew: Crew

    package init(maxThreads: Int) { crew = Crew(maxThreads: max(1, maxThreads)) }

    deinit { crew.dismiss() }

    /// Does `body` on one of the threads, when one is free.
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

    /// The same for what nobody waits for.
    package func submit(_ work: @escaping Work) { crew.take(work) }
}

/// The threads and what waits for them.
private final class Crew: @unchecked Sendable {
    private struct State {
        var waiting: [WorkerPool.Work] = []
        /// Those before it are done.
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
    /// As many as there is work waiting, and one for each thread that is dismissed. Never moved, hence by pointer.
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
            // The system has no thread left: those that are there go on; where none is, the caller does it.
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
