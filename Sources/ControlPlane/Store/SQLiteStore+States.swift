import GRDB
import JSON

extension SQLiteStore {
    /// The state of every record, by the kind of record, for people; "unreadable" for what is none. The file is only read: it may be
    /// another release's.
    static func states(path: String) throws(StoreError) -> [(table: String, states: [String])] {
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(5)
            return try DatabaseQueue(path: path, configuration: configuration).read { db in
                try ["sandbox", "snapshot", "pool"].filter { try db.tableExists($0) }.map { table in
                    let documents = try Row.fetchAll(db, sql: "SELECT document FROM \(table)")
                    return (table, documents.map { state(String.fromDatabaseValue($0[0]) ?? "") })
                }
            }
        } catch { throw StoreError(path: path, error) }
    }

    /// A word of those that this program knows: anything else could be a secret.
    private static func state(_ document: String) -> String {
        guard case .object(let record)? = try? JSONValue(document.utf8) else { return "unreadable" }
        var found = record["state"]
        if case .object(let status)? = record["status"] { found = status["state"] }
        guard case .string(let state)? = found else { return "stored" }
        return SandboxState(rawValue: state) != nil || SnapshotState(rawValue: state) != nil ? state : "unreadable"
    }
}
