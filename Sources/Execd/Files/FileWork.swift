import NIOPosix

/// Runs work that may block on a disk, outside the threads of tasks and sockets.
struct FileWork: Sendable {
    /// nil for execd's own.
    var identity: FileIdentity?

    /// Runs `work` on a thread of the pool with this identity.
    func callAsFunction<Result: Sendable>(
        _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        let identity = self.identity
        return try await NIOThreadPool.singleton.runIfActive {
            guard let identity else { return try work() }
            return try identity.perform(work)
        }
    }
}
