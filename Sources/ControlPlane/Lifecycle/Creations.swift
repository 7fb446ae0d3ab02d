import Synchronization

/// The creates that are at work, each a task that outlives the request: whoever deletes a sandbox meanwhile calls its create
/// off, and whoever hears of it waits for what comes of it.
final class Creations: Sendable {
    private let tasks = Mutex<[String: Task<Void, Never>]>([:])

    func begin(_ id: String, _ body: @escaping @Sendable () async -> Void) {
        tasks.withLock { tasks in
            tasks[id] = Task {
                await body()
                // It waits for the lock until the task is listed.
                self.tasks.withLock { $0[id] = nil }
            }
        }
    }

    func isAtWork(_ id: String) -> Bool { tasks.withLock { $0[id] != nil } }

    /// Returns when it has come to its end, which it is not told to do.
    func end(of id: String) async { await tasks.withLock { $0[id] }?.value }

    /// Tells it to stop, and returns when it has.
    func callOff(_ id: String) async {
        guard let task = tasks.withLock({ $0[id] }) else { return }
        task.cancel()
        await task.value
    }
}
