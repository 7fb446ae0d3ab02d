import NIOPosix

/// Does what may block on a disk, away from the threads that tasks and sockets run on.
struct FileWork: Sendable {
    /// nil: execd's own.
    var identity: FileIdentity?

    /// Does `work` on a thread of the pool with the identity.
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
