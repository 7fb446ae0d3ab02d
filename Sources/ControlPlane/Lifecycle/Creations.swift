import Synchronization

/// The creates in progress, each a task that outlives its request. Deleting a sandbox cancels its create, and handling
/// an event of a sandbox waits for its create. Snapshots that are being taken are such tasks, too.
final class Creations: Sendable {
    private let tasks = Mutex<[String: Task<Void, Never>]>([:])

    func begin(_ id: String, _ body: @escaping @Sendable () async -> Void) {
        tasks.withLock { tasks in
            tasks[id] = Task {
                await body()
                // Waits for the lock until the task is registered.
                self.tasks.withLock { $0[id] = nil }
            }
        }
    }

    func isAtWork(_ id: String) -> Bool { tasks.withLock { $0[id] != nil } }

    /// Waits for a create without cancelling it.
    func end(of id: String) async { await tasks.withLock { $0[id] }?.value }

    /// Cancels a create and waits for it to end.
    /// - Parameter patience: how long it may go on undisturbed.
    func callOff(_ id: String, after patience: Duration = .zero) async {
        guard let task = tasks.withLock({ $0[id] }) else { return }
        guard patience > .zero else {
            task.cancel()
            return await task.value
        }
        let clock = Task {
            try await Task.sleep(for: patience)
            task.cancel()
        }
        defer { clock.cancel() }
        await task.value
    }

    /// Cancels all and waits for their ends.
    func callOffAll() async {
        let all = tasks.withLock { Array($0.values) }
        for task in all { task.cancel() }
        for task in all { await task.value }
    }
}
