@_spi(ExperimentalCustomExecutors) @_spi(ExperimentalScheduling) import _Concurrency
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The threads that run Swift's tasks, in the place of those of libdispatch.
///
/// While tasks wait, libdispatch opens `/proc/<thread>/stat` of each of its threads once a second, and ends the process when
/// that fails: when no descriptor is left, where a system call filter forbids it, where there is no `/proc`. These threads
/// open nothing. There is one for each processor; when all of them are held up, because tasks block, others help.
package final class TaskThreads: TaskExecutor, SchedulingExecutor, @unchecked Sendable {
    private struct Timers {
        /// Jobs by the time at which they are due.
        var heap = TimerHeap<UnownedJob>()
        /// When the clock looks next; `.max`: when it is called.
        var nextLook = UInt64.max
    }

    private let crew: Crew<UnownedJob>
    private let timers = Mutex(Timers())
    private let alarm = Semaphore()
    private let hasClock = Atomic(false)
    /// Whether the clock sees to it that work goes on.
    private let isWatched = Atomic(false)

    /// The most threads, however many are held up.
    private static let maxThreads = 64
    /// A queue of which nothing is taken for so long has no thread that could; nanoseconds.
    private static let stall: UInt64 = 50_000_000

    package init(width: Int) {
        crew = Crew(maxThreads: min(width, Self.maxThreads)) { $0.runSynchronously(on: Self.anywhere) }
    }

    /// From now on all tasks run here. The first thing that a program does; no thread is started before there is a task.
    package static func install() { _createExecutors(factory: Factory.self) }

    private enum Factory: ExecutorFactory {
        static let threads = TaskThreads(width: max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        static var mainExecutor: any MainExecutor { PlatformExecutorFactory.mainExecutor }
        static var defaultExecutor: any TaskExecutor { threads }
    }

    /// What is isolated to no actor, so that a task goes on to such code without waiting again.
    private static var anywhere: UnownedSerialExecutor {
        unsafeBitCast((0, 0) as (Int, Int), to: UnownedSerialExecutor.self)
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) { take(UnownedJob(job)) }

    package func enqueue<C: Clock>(
        _ job: consuming ExecutorJob, after delay: C.Duration, tolerance: C.Duration?, clock: C
    ) {
        guard let delay = delay as? Duration else {
            // The clock is not one of Swift's: the platform knows what its times are.
            (PlatformExecutorFactory.defaultExecutor as? any SchedulingExecutor)?
                .enqueue(job, after: delay, tolerance: tolerance, clock: clock)
            return
        }
        let due = Self.deadline(after: delay), job = UnownedJob(job)
        let isFirst = timers.withLock { timers in
            timers.heap.insert(due, job)
            guard due < timers.nextLook else { return false }
            timers.nextLook = due
            return true
        }
        if isFirst { callClock() }
    }

    private func take(_ job: UnownedJob) {
        guard crew.take(job), !isWatched.exchange(true, ordering: .acquiringAndReleasing) else { return }
        callClock()
    }

    private static func deadline(after delay: Duration) -> UInt64 {
        let (seconds, attoseconds) = delay.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        // Ten years are for ever.
        let nanoseconds = UInt64(min(seconds, 315_360_000)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
        return SystemClock.monotonicNanoseconds() + nanoseconds
    }

    // MARK: the clock

    private func callClock() {
        guard !hasClock.exchange(true, ordering: .acquiringAndReleasing) else { return alarm.signal() }
        do throws(SystemCallError) {
            try DetachedThread.start { [self] in keepTime() }
        } catch {
            // Who calls next tries again.
            hasClock.store(false, ordering: .releasing)
            isWatched.store(false, ordering: .releasing)
            timers.withLock { $0.nextLook = .max }
        }
    }

    /// Lets jobs run when they are due, and sends help where all threads are held up.
    private func keepTime() {
        var taken: Int?
        while true {
            let due = timers.withLock { timers -> [UnownedJob] in
                var due: [UnownedJob] = []
                while let job = timers.heap.pop(now: SystemClock.monotonicNanoseconds()) { due.append(job) }
                return due
            }
            for job in due { if crew.take(job) { isWatched.store(true, ordering: .releasing) } }
            taken = watch(since: taken)
            let next = timers.withLock { timers -> UInt64? in
                let look = taken == nil ? nil : SystemClock.monotonicNanoseconds() + Self.stall
                timers.nextLook = min(timers.heap.first ?? .max, look ?? .max)
                return timers.nextLook == .max ? nil : timers.nextLook
            }
            alarm.wait(until: next)
        }
    }

    /// - Parameter taken: what it returned last.
    /// - Returns: how many jobs have been taken by now; nil: nothing waits.
    private func watch(since taken: Int?) -> Int? {
        guard isWatched.load(ordering: .acquiring) else { return nil }
        var progress = crew.progress
        if progress.waiting == 0 {
            isWatched.store(false, ordering: .sequentiallyConsistent)
            progress = crew.progress
            guard progress.waiting > 0 else { return nil }
            // One that came in between has not called.
            isWatched.store(true, ordering: .releasing)
        }
        if progress.taken == taken { crew.help(atMost: Self.maxThreads) }
        return progress.taken
    }
}
