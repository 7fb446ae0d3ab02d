import System

/// Where processes are started. A start waits until the new program stands in memory, and in a sandbox whose memory has run out
/// that may take long: nothing else of execd is to wait with it.
enum SpawnThreads {
    private static let commands = WorkerPool(maxThreads: 4)
    /// Of their own: an isolated session is built in many steps of the kernel, and commands do not wait for it.
    private static let sessions = WorkerPool(maxThreads: 4)

    static func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await commands.run(work)
    }

    static func build<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await sessions.run(work)
    }
}
