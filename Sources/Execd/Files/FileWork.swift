import NIOPosix
import System

/// Runs work that may block on a disk, outside the threads of tasks and sockets.
struct FileWork: Sendable {
    /// nil for execd's own.
    var identity: FileIdentity?
    /// Whose files; nil for the sandbox's.
    var root: SessionRoot?

    /// Threads whose root may be another's meanwhile; nothing else runs on them.
    private static let sessionThreads = WorkerPool(maxThreads: 8)

    /// Runs work without waiting for it.
    static func submit(_ work: @escaping @Sendable () -> Void) { NIOThreadPool.singleton.submit { _ in work() } }

    /// Runs `work` on a thread of the pool with this identity and root.
    func callAsFunction<Result: Sendable>(
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let identity = self.identity
        let acting: @Sendable () throws -> Result = { try identity.map { try $0.perform(work) } ?? work() }
        guard let root else { return try await NIOThreadPool.singleton.runIfActive(acting) }
        return try await Self.sessionThreads.run { try root.perform(acting) }
    }
}
