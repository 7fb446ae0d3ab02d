import System

/// Threads for work on volumes alone: storage below one may answer no more, and whoever waits for it then, in the kernel, can
/// not be ended. Nothing else of the server may wait with it.
struct VolumeThreads: Sendable {
    let checks = WorkerPool(maxThreads: 4)
    let opens = WorkerPool(maxThreads: 8)
    /// How long a request waits. Opening may copy an image's files.
    var checkPatience = Duration.seconds(10)
    var openPatience = Duration.seconds(700)

    func check(_ body: @escaping @Sendable () throws(RuntimeError) -> Void) async throws(RuntimeError) {
        try await run(on: checks, within: checkPatience, body) {}
    }

    /// - Parameter late: undoes it, if it succeeds when nobody waits for it any more.
    func open<Result: Sendable>(
        _ body: @escaping @Sendable () throws(RuntimeError) -> Result, late: @escaping @Sendable () -> Void
    ) async throws(RuntimeError) -> Result {
        try await run(on: opens, within: openPatience, body, late: late)
    }

    private func run<Result: Sendable>(
        on pool: WorkerPool, within patience: Duration,
        _ body: @escaping @Sendable () throws(RuntimeError) -> Result, late: @escaping @Sendable () -> Void
    ) async throws(RuntimeError) -> Result {
        let outcome = await pool.run(within: patience) { () -> Swift.Result<Result, RuntimeError> in
            do throws(RuntimeError) { return .success(try body()) } catch { return .failure(error) }
        } late: {
            _ in
            late()
        }
        guard let outcome else {
            throw .volume(
                VolumeProblem(
                    .claimFailed, "the storage of a volume does not answer: try again later, or ask the operator"))
        }
        return try outcome.get()
    }
}
