import Synchronization

/// Records in memory, which all requests read. Changes are written through to the store; if the store refuses one, nothing
/// is changed.
final class Catalog<Record: Identifiable<String> & Sendable>: Sendable {
    private let store: any RecordTable<Record>
    private let records = Mutex<[String: Record]>([:])
    /// Serialises changes of one record.
    private let locks = KeyedLock()
    private let observer: @Sendable (_ id: String, _ record: Record?) -> Void

    /// - Parameter observer: called for every change after it is stored.
    init(
        store: any RecordTable<Record>,
        observer: @escaping @Sendable (_ id: String, _ record: Record?) -> Void = { _, _ in }
    ) {
        self.store = store
        self.observer = observer
    }

    var all: [Record] { records.withLock { Array($0.values) } }
    subscript(id: String) -> Record? { records.withLock { $0[id] } }

    /// - Returns: the ids of what is stored and cannot be read.
    func load() async throws(StoreError) -> [String] {
        for record in try await store.all() { note(record) }
        return try await store.unreadable()
    }

    func save(_ record: Record) async throws(StoreError) {
        try await locks.withLock(record.id) { () async throws(StoreError) in try await keep(record) }
    }

    /// Changes a record atomically.
    /// - Parameter change: returns the changed record; nil to leave it unchanged.
    /// - Returns: the record afterwards; nil if there is none.
    @discardableResult
    func change(
        _ id: String, _ change: @Sendable (Record) -> Record?
    ) async throws(StoreError) -> Record? {
        try await locks.withLock(id) { () async throws(StoreError) in
            guard let record = self[id], let changed = change(record) else { return self[id] }
            try await keep(changed)
            return changed
        }
    }

    func remove(_ id: String) async throws(StoreError) {
        try await locks.withLock(id) { () async throws(StoreError) in
            try await store.remove(id)
            forget(id)
        }
    }

    private func keep(_ record: Record) async throws(StoreError) {
        try await store.save(record)
        note(record)
    }

    /// Changes only the memory, for operations that must go on even if the store fails.
    func note(_ record: Record) {
        records.withLock { $0[record.id] = record }
        observer(record.id, record)
    }

    /// Takes a record out of the memory only, for one that was not stored.
    func forget(_ id: String) {
        records.withLock { $0[id] = nil }
        observer(id, nil)
    }
}
