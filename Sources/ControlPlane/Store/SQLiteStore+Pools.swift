import FoundationEssentials
import GRDB
import JSON

extension SQLiteStore: PoolStore {
    package func save(_ pool: Pool) async throws(StoreError) {
        try await translated { [database = self.pool] in
            let document = String(decoding: try JSONEncoder().encode(pool), as: UTF8.self)
            try await database.write { try PoolRow(name: pool.name, document: document).upsert($0) }
        }
    }

    package func removePool(_ name: String) async throws(StoreError) {
        _ = try await translated { [pool] in try await pool.write { try PoolRow.deleteOne($0, key: name) } }
    }

    package func pools() async throws(StoreError) -> [Pool] {
        let rows = try await translated { [pool] in try await pool.read { try PoolRow.fetchAll($0) } }
        return rows.compactMap { row in
            // Another pool's document would be changed in its place.
            guard let pool = try? JSONValue(row.document.utf8).decode(Pool.self), pool.name == row.name else {
                return nil
            }
            return pool
        }
    }
}
