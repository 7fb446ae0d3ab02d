import Synchronization

/// Does equal jobs that are wanted at the same time once. A caller who gives up waiting does not end the job.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let flights = Mutex<[Key: Task<Result<Value, ImageError>, Never>]>([:])

    func run(
        _ key: Key, _ job: @escaping @Sendable () async throws(ImageError) -> Value
    ) async throws(ImageError) -> Value {
        let task = flights.withLock { flights in
            if let task = flights[key] { return task }
            let task = Task { () -> Result<Value, ImageError> in
                // It waits for the lock until the task is listed.
                defer { self.flights.withLock { $0[key] = nil } }
                do throws(ImageError) { return .success(try await job()) } catch { return .failure(error) }
            }
            flights[key] = task
            return task
        }
        return try await task.value.get()
    }
}
