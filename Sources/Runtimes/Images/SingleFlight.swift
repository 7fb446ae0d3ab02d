import Synchronization

/// Runs equal concurrent jobs once. A caller that stops waiting does not cancel the job.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let flights = Mutex<[Key: Task<Result<Value, ImageError>, Never>]>([:])

    func run(
        _ key: Key, _ job: @escaping @Sendable () async throws(ImageError) -> Value
    ) async throws(ImageError) -> Value {
        let task = flights.withLock { flights in
            if let task = flights[key] { return task }
            let task = Task { () -> Result<Value, ImageError> in
                // This waits for the lock until the task is registered.
                defer { self.flights.withLock { $0[key] = nil } }
                do throws(ImageError) { return .success(try await job()) } catch { return .failure(error) }
            }
            flights[key] = task
            return task
        }
        return try await task.value.get()
    }
}
