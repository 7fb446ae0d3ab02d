import NIOPosix

/// Where processes are started. A start waits until the new program stands in memory, and in a sandbox whose memory has run out
/// that may take long: nothing else of execd is to wait with it.
enum SpawnThreads {
    private static let pool: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 4)
        pool.start()
        return pool
    }()

    static func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await pool.runIfActive(work)
    }
}
