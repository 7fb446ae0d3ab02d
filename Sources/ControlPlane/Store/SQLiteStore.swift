import FoundationEssentials
import GRDB

/// A store in one SQLite file. WAL mode lets other processes (`sallyport token`) read while the server writes.
///
/// `synchronous = NORMAL`: a commit survives any end of the process. After a power failure the last commits may be
/// lost, but then so are their sandboxes. Snapshots and pools are not, and wait for the disk.
package final class SQLiteStore: ServerStore {
    package let sandboxes: any RecordTable<Sandbox>
    package let snapshots: any RecordTable<Snapshot>
    package let pools: any RecordTable<Pool>
    private let path: String
    private let pool: DatabasePool

    /// Opens the file. Creates it (mode 0600) and its tables if missing.
    package init(path: String) throws(StoreError) {
        self.path = path
        var migrator = DatabaseMigrator()
        migrator.registerMigration("sandboxes") { try SQLiteTable<Sandbox>.create("sandbox", in: $0) }
        migrator.registerMigration("pools") { try SQLiteTable<Pool>.create("pool", in: $0) }
        migrator.registerMigration("snapshots") { try SQLiteTable<Snapshot>.create("snapshot", in: $0) }
        do {
            try Self.refuseForeign(path, migrator)
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            configuration.maximumReaderCount = 2
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = NORMAL") }
            pool = try DatabasePool(path: path, configuration: configuration)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            try migrator.migrate(pool)
        } catch {
            throw StoreError(path: path, error)
        }
        sandboxes = SQLiteTable<Sandbox>(path: path, pool: pool, name: "sandbox") { $0.createdAt }
        snapshots = SQLiteTable<Snapshot>(path: path, pool: pool, name: "snapshot", isDurable: true) { $0.createdAt }
        pools = SQLiteTable<Pool>(path: path, pool: pool, name: "pool", isDurable: true) { $0.createdAt }
    }

    /// Refuses a file of another program, the reference's above all, and one that a newer release has written. It is only read here,
    /// so that it stays as it is.
    private static func refuseForeign(_ path: String, _ migrator: DatabaseMigrator) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(5)
        let file = try DatabaseQueue(path: path, configuration: configuration)
        defer { try? file.close() }
        try file.read { db in
            let tables = try String.fetchAll(
                db, sql: "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'")
            guard tables.isEmpty || tables.contains("grdb_migrations") else {
                throw StoreError(
                    path: path,
                    reason:
                        "it is another program's: name a file of this server's own in store.path, or leave that out")
            }
            guard try !migrator.hasBeenSuperseded(db) else {
                throw StoreError(
                    path: path,
                    reason:
                        "a newer release has written it: install that one, or restore a backup of before the upgrade"
                )
            }
        }
    }

    /// A page of the file that nothing else is in. Without a commit the disk would not be asked.
    package func checkWrite() async throws(StoreError) {
        do {
            try await pool.write { db in
                let number = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
                try db.execute(sql: "PRAGMA user_version = \((number + 1) & 0xffff)")
            }
        } catch {
            throw StoreError(path: path, error)
        }
    }

    /// A number that changes with each commit of another connection.
    package func version() async throws(StoreError) -> Int {
        do {
            return try await pool.read { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
        } catch {
            throw StoreError(path: path, error)
        }
    }
}
