import Logging
import Synchronization

/// Keeps the route table of a separate gateway as the server's store has it.
final class StoreFollower: Sendable {
    private let store: SQLiteStore
    private let routes: RouteTable
    private let logger: Logger
    private let known = Mutex<[String: Sandbox]>([:])

    /// How old a route may be. Asking SQLite for its change counter takes microseconds.
    private static let interval = Duration.milliseconds(50)

    init(store: SQLiteStore, routes: RouteTable, logger: Logger) {
        self.store = store
        self.routes = routes
        self.logger = logger
    }

    /// Follows until the task is cancelled.
    func follow() async {
        var version = -1
        while !Task.isCancelled {
            do throws(StoreError) {
                let current = try await store.version()
                if current != version { try await refresh() }
                version = current
            } catch {
                logger.error("reading the server's store failed", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: Self.interval)
        }
    }

    func refresh() async throws(StoreError) {
        let present = Dictionary(uniqueKeysWithValues: try await store.all().map { ($0.id, $0) })
        let earlier = known.withLock { known in
            defer { known = present }
            return known
        }
        for id in earlier.keys where present[id] == nil { routes.set(id, nil) }
        for (id, sandbox) in present where earlier[id] != sandbox { routes.set(id, sandbox) }
    }
}
