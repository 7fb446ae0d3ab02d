import FoundationEssentials
import GRDB

/// A store in one SQLite file. WAL mode lets other processes (`sallyport token`) read while the server writes.
///
/// `synchronous = NORMAL`: a commit survives any end of the process. After a power failure the last commits may be
/// lost, but then so are their sandboxes. Snapshots are not, and wait for the disk.
package final class SQLiteStore: ServerStore {
    package let sandboxes: any RecordTable<Sandbox>
    package let snapshots: any RecordTable<Snapshot>
    package let pools: any RecordTable<Pool>
    private let path: String
    private let pool: DatabasePool

    /// Opens the file. Creates it (mode 0600) and its tables if missing.
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
            migrator.registerMigration("sandboxes") { try SQLiteTable<Sandbox>.create("sandbox", in: $0) }
            migrator.registerMigration("pools") { try SQLiteTable<Pool>.create("pool", in: $0) }
            migrator.registerMigration("snapshots") { try SQLiteTable<Snapshot>.create("snapshot", in: $0) }
            try migrator.migrate(pool)
        } catch {
            throw StoreError(path: path, reason: "\(error)")
        }
        sandboxes = SQLiteTable<Sandbox>(path: path, pool: pool, name: "sandbox") { $0.createdAt }
        snapshots = SQLiteTable<Snapshot>(path: path, pool: pool, name: "snapshot", isDurable: true) { $0.createdAt }
        pools = SQLiteTable<Pool>(path: path, pool: pool, name: "pool") { $0.createdAt }
    }

    /// A number that changes with each commit of another connection.
    package func version() async throws(StoreError) -> Int {
        do {
            return try await pool.read { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
        } catch {
            throw StoreError(path: path, reason: "\(error)")
        }
    }
}
