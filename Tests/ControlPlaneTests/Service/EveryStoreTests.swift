import TestSupport
import Testing

@testable import ControlPlane

/// What a server relies on, held by its database and by the store in memory that its tests put in the database's place.
@Suite struct EveryStoreTests {
    enum Kind: CaseIterable, Sendable {
        case memory, database
    }

    private let folder = TemporaryFolder("stores")

    private func store(_ kind: Kind) throws -> any ServerStore {
        switch kind {
        case .memory: return FakeStore()
        case .database: return try SQLiteStore(path: folder.path + "/sallyport.db")
        }
    }

    /// - Parameter changed: has the id of `first`.
    private func expectKept<Record: Identifiable<String> & Sendable & Equatable>(
        in table: any RecordTable<Record>, _ first: Record, _ changed: Record, _ other: Record
    ) async throws {
        for record in [first, other, changed] { try await table.save(record) }
        var found = try await table.all()
        #expect(found.count == 2 && found.contains(changed) && found.contains(other))
        try await table.remove(other.id)
        try await table.remove("none")
        found = try await table.all()
        let unreadable = try await table.unreadable()
        #expect(found == [changed] && unreadable.isEmpty)
    }

    @Test(arguments: Kind.allCases)
    func `a record is there as it was saved last, until it is removed`(_ kind: Kind) async throws {
        let store = try store(kind), start = Timestamp(microseconds: 1_760_000_000_000_000)
        let sandbox = Sandbox.sample("a", at: start)
        var changed = sandbox
        (changed.metadata, changed.expiresAt) = (["k": "ü \"'"], start.adding(seconds: 5))
        try await expectKept(in: store.sandboxes, sandbox, changed, .sample("b", at: start))
        let snapshot = Snapshot(id: "s", of: sandbox, name: nil, at: start)
        let ready = snapshot.moved(to: .ready, reason: SnapshotReason.ready, message: "", at: start)
        try await expectKept(
            in: store.snapshots, snapshot, ready, Snapshot(id: "t", of: sandbox, name: "n", at: start))
        let capacity = PoolCapacity(bufferMin: 0, bufferMax: 1, poolMin: 0, poolMax: 2)
        let pool = Pool(name: "p", template: PoolTemplate(image: "i"), capacity: capacity, createdAt: start)
        var larger = pool, other = pool
        (larger.capacity.poolMax, other.name) = (9, "q")
        try await expectKept(in: store.pools, pool, larger, other)
    }

    @Test(arguments: Kind.allCases)
    func `what a catalog saved, changed and removed is what the next one loads`(_ kind: Kind) async throws {
        let store = try store(kind), catalog = Catalog<Sandbox>(store: store.sandboxes)
        for id in ["a", "b"] { try await catalog.save(.sample(id)) }
        try await catalog.change("a") { sandbox in
            var changed = sandbox
            changed.metadata = ["k": "v"]
            return changed
        }
        try await catalog.remove("b")
        let next = Catalog<Sandbox>(store: store.sandboxes)
        let unreadable = try await next.load()
        #expect(unreadable.isEmpty && next.all == catalog.all && next["a"]?.metadata == ["k": "v"])
    }

    @Test(arguments: Kind.allCases)
    func `many that are saved at once are all there, and a look whether it can write leaves nothing`(
        _ kind: Kind
    ) async throws {
        let store = try store(kind), table = store.sandboxes
        try await store.checkWrite()
        let before = try await table.all()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<50 { group.addTask { try await table.save(.sample("\(number)")) } }
            try await group.waitForAll()
        }
        let ids = try await table.all().map(\.id)
        #expect(before.isEmpty && Set(ids) == Set((0..<50).map { "\($0)" }) && ids.count == 50)
    }
}
