import FoundationEssentials
import GRDB
import JSON

/// A store in one SQLite file. WAL mode lets other processes (`sallyport token`) read while the server writes.
///
/// `synchronous = NORMAL`: a commit survives any end of the process. After a power failure the last commits may be
/// lost, but then so are their sandboxes.
package final class SQLiteStore: SandboxStore {
    private struct Row: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "sandbox"
        var id: String
        var createdAt: Int64
        /// The sandbox as JSON, so that a new field needs no migration.
        var document: String
    }

    struct PoolRow: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "pool"
        var name: String
        /// The pool as JSON.
        var document: String
    }

    private let path: String
    let pool: DatabasePool

    /// Opens the file. Creates it (mode 0600) and its table if missing.
    package init(path: String) throws(StoreError) {
        self.path = path
        do {
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            configuration.maximumReaderCount = 2
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = NORMAL") }
            pool = try DatabasePool(path: path, configuration: configuration)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            var migrator = DatabaseMigrator()
            migrator.registerMigration("sandboxes") { db in
                try db.create(table: Row.databaseTableName) { table in
                    table.primaryKey("id", .text)
                    table.column("createdAt", .integer).notNull()
                    table.column("document", .text).notNull()
                }
            }
            migrator.registerMigration("pools") { db in
                try db.create(table: PoolRow.databaseTableName) { table in
                    table.primaryKey("name", .text)
                    table.column("document", .text).notNull()
                }
            }
            try migrator.migrate(pool)
        } catch {
            throw StoreError(path: path, reason: "\(error)")
        }
    }

    package func save(_ sandbox: Sandbox) async throws(StoreError) {
        try await translated { [pool] in
            let document = String(decoding: try JSONEncoder().encode(sandbox), as: UTF8.self)
            let row = Row(id: sandbox.id, createdAt: sandbox.createdAt.microseconds, document: document)
            try await pool.write { try row.upsert($0) }
        }
    }

    package func remove(_ id: String) async throws(StoreError) {
        _ = try await translated { [pool] in try await pool.write { try Row.deleteOne($0, key: id) } }
    }

    package func all() async throws(StoreError) -> [Sandbox] { try await rows().compactMap(Self.sandbox(of:)) }

    package func unreadable() async throws(StoreError) -> [String] {
        try await rows().filter { Self.sandbox(of: $0) == nil }.map(\.id)
    }

    private func rows() async throws(StoreError) -> [Row] {
        try await translated { [pool] in try await pool.read { try Row.order(Column("createdAt")).fetchAll($0) } }
    }

    private static func sandbox(of row: Row) -> Sandbox? {
        // Another sandbox's document would be deleted in its place.
        guard let sandbox = try? JSONValue(row.document.utf8).decode(Sandbox.self), sandbox.id == row.id else {
            return nil
        }
        return sandbox
    }

    /// A number that changes with each commit of another connection.
    package func version() async throws(StoreError) -> Int {
        try await translated { [pool] in
            try await pool.read { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
        }
    }

    func translated<Result: Sendable>(
        _ body: @Sendable () async throws -> Result
    ) async throws(StoreError) -> Result {
        do { return try await body() } catch { throw StoreError(path: path, reason: "\(error)") }
    }
}
