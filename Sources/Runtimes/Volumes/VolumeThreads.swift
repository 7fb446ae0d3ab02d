import System

/// Threads for work on volumes alone: storage below one may answer no more, and whoever waits for it then, in the kernel, can
/// not be ended. Nothing else of the server may wait with it, and of the threads each storage has its own part.
struct VolumeThreads: Sendable {
    let checks = WorkerPool(maxThreads: 16)
    let opens = WorkerPool(maxThreads: 16)
    private let checkPlaces = StoragePlaces()
    private let openPlaces = StoragePlaces()
    /// How long a request waits. Opening may copy an image's files.
    var checkPatience = Duration.seconds(10)
    var openPatience = Duration.seconds(700)

    /// - Parameter storages: what is asked, by names of any kind.
    func check(
        _ storages: Set<String> = [], _ body: @escaping @Sendable () throws(RuntimeError) -> Void
    ) async throws(RuntimeError) {
        try await run(on: checks, checkPlaces, storages, within: checkPatience, body) {}
    }

    /// - Parameter late: undoes it, if it succeeds when nobody waits for it any more.
    func open<Result: Sendable>(
        _ storages: Set<String> = [], _ body: @escaping @Sendable () throws(RuntimeError) -> Result,
        late: @escaping @Sendable () -> Void
    ) async throws(RuntimeError) -> Result {
        try await run(on: opens, openPlaces, storages, within: openPatience, body, late: late)
    }

    private func run<Result: Sendable>(
        on pool: WorkerPool, _ places: StoragePlaces, _ storages: Set<String>, within patience: Duration,
        _ body: @escaping @Sendable () throws(RuntimeError) -> Result, late: @escaping @Sendable () -> Void
    ) async throws(RuntimeError) -> Result {
        let deadline = ContinuousClock.now + patience
        var outcome: Swift.Result<Result, RuntimeError>?
        if let place = await places.take(storages, within: patience) {
            outcome = await pool.run(within: deadline - .now) { () -> Swift.Result<Result, RuntimeError> in
                defer { withExtendedLifetime(place) {} }
                do throws(RuntimeError) { return .success(try body()) } catch { return .failure(error) }
            } late: { _ in
                late()
            }
        }
        if let outcome { return try outcome.get() }
        if Task.isCancelled { throw .cancelled }
        throw .volume(
            VolumeProblem(
                .claimFailed, "the storage of a volume does not answer: try again later, or ask the operator"))
    }
}
