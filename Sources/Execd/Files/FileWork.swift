import System

/// Runs work that may block on a disk, outside the threads of tasks and sockets.
struct FileWork: Sendable {
    /// nil for execd's own.
    var identity: FileIdentity?
    /// Whose files; nil for the sandbox's.
    var root: SessionRoot?

    private static let threads = WorkerPool(maxThreads: 8)
    /// Threads whose root may be another's meanwhile; nothing else runs on them.
    private static let sessionThreads = WorkerPool(maxThreads: 8)
    private static let background = WorkerPool(maxThreads: 1)

    /// Runs work that nobody waits for and that may take long, such as a removal; one after the other, with execd's own rights.
    static func later(_ work: @escaping @Sendable () -> Void) { background.submit(work) }

    /// Runs `work` on a thread of the pool with this identity and root.
    func callAsFunction<Result: Sendable>(
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let identity = self.identity
        let acting: @Sendable () throws -> Result = { try identity.map { try $0.perform(work) } ?? work() }
        guard let root else { return try await Self.threads.run(acting) }
        return try await Self.sessionThreads.run { try root.perform(acting) }
    }
}
