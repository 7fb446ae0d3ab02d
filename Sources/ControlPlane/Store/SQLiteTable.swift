import FoundationEssentials
import GRDB
import JSON

/// Records of one kind in an SQLite file, each as JSON, so that a new field needs no migration.
struct SQLiteTable<Record: Codable & Identifiable<String> & Sendable>: RecordTable {
    let path: String
    let pool: DatabasePool
    /// A word of this program's.
    let name: String
    /// Whether a commit waits for the disk, for records of what outlives a power failure.
    var isDurable = false
    let createdAt: @Sendable (Record) -> Timestamp

    /// Makes the table.
    static func create(_ name: String, in db: Database) throws {
        try db.create(table: name) { table in
            table.primaryKey("id", .text)
            table.column("createdAt", .integer).notNull()
            table.column("document", .text).notNull()
        }
    }

    func save(_ record: Record) async throws(StoreError) {
        try await write { db in
            let document = String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
            try db.execute(
                sql: "INSERT OR REPLACE INTO \(name) (id, createdAt, document) VALUES (?, ?, ?)",
                arguments: [record.id, createdAt(record).microseconds, document])
        }
    }

    func remove(_ id: String) async throws(StoreError) {
        try await write { try $0.execute(sql: "DELETE FROM \(name) WHERE id = ?", arguments: [id]) }
    }

    func all() async throws(StoreError) -> [Record] { try await rows().compactMap(\.record) }

    func unreadable() async throws(StoreError) -> [String] { try await rows().filter { $0.record == nil }.map(\.id) }

    private func rows() async throws(StoreError) -> [(id: String, record: Record?)] {
        try await translated {
            try await pool.read { db in
                try Row.fetchAll(db, sql: "SELECT id, document FROM \(name) ORDER BY createdAt").map { row in
                    // A damaged file may have anything there.
                    let id = String.fromDatabaseValue(row[0]) ?? "", document = String.fromDatabaseValue(row[1]) ?? ""
                    let record = try? JSONValue(document.utf8).decode(Record.self)
                    // Another record's document would be deleted in its place.
                    return (id, record?.id == id ? record : nil)
                }
            }
        }
    }

    private func write(_ body: @escaping @Sendable (Database) throws -> Void) async throws(StoreError) {
        try await translated {
            guard isDurable else { return try await pool.write(body) }
            try await pool.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA synchronous = FULL")
                defer { try? db.execute(sql: "PRAGMA synchronous = NORMAL") }
                try db.inTransaction {
                    try body(db)
                    return .commit
                }
            }
        }
    }

    private func translated<Result: Sendable>(
        _ body: @Sendable () async throws -> Result
    ) async throws(StoreError) -> Result {
        do { return try await body() } catch { throw StoreError(path: path, error) }
    }
}
