import System

/// Where processes are started. A start waits until the new program stands in memory, and in a sandbox whose memory has run out
/// that may take long: nothing else of execd is to wait with it.
enum SpawnThreads {
    private static let commands = WorkerPool(maxThreads: 4)
    /// The same threads, for tasks.
    static let tasks: any TaskExecutor = PoolTasks(commands)
    /// Of their own: an isolated session is built in many steps of the kernel, and commands do not wait for it.
    private static let sessions = WorkerPool(maxThreads: 4)

    static func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await commands.run(work)
    }

    static func build<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await sessions.run(work)
    }

    private final class PoolTasks: TaskExecutor {
        private let pool: WorkerPool

        init(_ pool: WorkerPool) { self.pool = pool }

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            pool.submit { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }
}
