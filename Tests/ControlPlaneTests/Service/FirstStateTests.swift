import GRDB
import Runtimes
import SecureAccess
import Spelling
import System
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct FirstStateTests {
    private let state: FirstState
    private let start = Timestamp(microseconds: 1_760_000_000_000_000)

    init() throws { state = try FirstState() }

    private func store() async throws -> SQLiteStore {
        let path = state.path + "/sallyport.db", sql = try #require(File.text(state.path + "/store.sql"))
        let database = try DatabaseQueue(path: path)
        try await database.write { try $0.execute(sql: sql) }
        try database.close()
        return try SQLiteStore(path: path)
    }

    @Test func `sandboxes of the first store are what they were, and lack only what came later`() async throws {
        let store = try await store(), sandboxes = try await store.sandboxes.all()
        #expect(try await store.sandboxes.unreadable().isEmpty)
        try #require(sandboxes.map(\.id) == ["7c2f", "9d41"])
        let (running, failed) = (sandboxes[0], sandboxes[1])
        #expect(running.image == "sallyport/base:latest" && running.entrypoint == ["sleep", "1000"])
        #expect(running.metadata == ["k": "it's ü"] && running.renewal == 300)
        #expect(running.platform == Platform(os: "linux", arch: "amd64"))
        #expect(running.history.map(\.state) == [.pending, .running] && running.status.message == "it runs")
        #expect(running.createdAt == start && running.status.since == start)
        #expect(running.expiresAt == Timestamp(microseconds: 1_860_000_000_000_000))
        #expect(running.secureAccess && running.hasPolicy && running.network?.address == "10.8.0.2")
        #expect(running.network?.namespacePath == "/run/sallyport/netns/7c2f")
        #expect(failed.status.state == .failed && failed.status.reason == "IMAGE_PULL_FAILED")
        #expect(failed.platform == nil && failed.expiresAt == nil && failed.network == nil && !failed.hasPolicy)
        for sandbox in sandboxes {
            #expect(sandbox.snapshot == nil && sandbox.poolRef == nil && sandbox.owner == nil && sandbox.limits == nil)
            #expect(sandbox.accessEpoch.revocations == 0)
        }
    }

    @Test func `pools and snapshots of the first store are what they were, and can be changed`() async throws {
        let store = try await store()
        let limits = ResourceLimits(cpuMillis: 500, memoryBytes: 256 << 20, processes: 4096)
        let pool = Pool(
            name: "py", template: PoolTemplate(image: "sallyport/base:latest", environment: ["A": "1"], limits: limits),
            capacity: PoolCapacity(bufferMin: 1, bufferMax: 2, poolMin: 0, poolMax: 5), createdAt: start)
        #expect(try await store.pools.all() == [pool])
        var snapshots = try await store.snapshots.all()
        try #require(snapshots.map(\.id) == ["0f1e2d3c", "4b5a6978"])
        #expect(snapshots.map(\.state) == [.ready, .failed] && snapshots.map(\.sandbox) == ["7c2f", "9d41"])
        #expect(snapshots.map(\.name) == ["mine", nil] && snapshots.map(\.owner) == ["0123456789abcdef", nil])
        #expect(snapshots[1].message == "no room" && snapshots[1].since.microseconds == start.microseconds + 3)
        snapshots[0].name = "other"
        try await store.snapshots.save(snapshots[0])
        try await store.pools.remove("py")
        #expect(try await store.snapshots.all() == snapshots)
        #expect(try await store.pools.all().isEmpty)
    }

    @Test func `the first keys open what they opened`() throws {
        let keys = try APIKeyFile(path: state.path + "/secrets/api-keys").load()
        let key = try #require(keys.key(of: "sp_0123456789abcdef_" + String(repeating: "5", count: 64)))
        #expect(key.name == "ci" && key.scope == .operate && key.createdAt == start && key.former == nil)
        let ring = try KeyRing(active: "a", keys: ["a": [UInt8](repeating: 7, count: 32)])
        #expect(try KeyFile(path: state.path + "/secrets/route-keys").load() == ring)
    }
}
