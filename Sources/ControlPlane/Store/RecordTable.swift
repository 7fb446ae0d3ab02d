/// Stores records of one kind. When a call has returned, its change survives the end of the process.
package protocol RecordTable<Record>: Sendable {
    associatedtype Record: Identifiable<String> & Sendable

    func save(_ record: Record) async throws(StoreError)
    func remove(_ id: String) async throws(StoreError)
    /// Those that can be read.
    func all() async throws(StoreError) -> [Record]
    /// The ids of those that cannot: a later server's, or damaged ones.
    func unreadable() async throws(StoreError) -> [String]
}

/// What a server stores.
package protocol ServerStore: Sendable {
    var sandboxes: any RecordTable<Sandbox> { get }
    var snapshots: any RecordTable<Snapshot> { get }
    /// Those that requests have made.
    var pools: any RecordTable<Pool> { get }
    /// Writes something, of which nothing is to be seen.
    func checkWrite() async throws(StoreError)
}

/// Why the store failed. Nothing was changed.
package struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "the store \(path) failed: \(reason)" }
}
