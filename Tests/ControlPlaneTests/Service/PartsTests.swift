import Foundation
import GRDB
import Synchronization
import Testing

@testable import ControlPlane

@Suite struct StoreTests {
    private func withStore(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/spt-store-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder + "/sallyport.db")
    }

    @Test func `what was saved is there for the next server, and for another process at once`() async throws {
        try await withStore { path async throws in
            let file = try SQLiteStore(path: path), another = try SQLiteStore(path: path)
            let store = file.sandboxes, other = another.sandboxes
            let before = try await another.version()
            var sandbox = Sandbox.sample("a")
            sandbox.metadata = ["k": "ü \"'"]
            sandbox.expiresAt = Timestamp(microseconds: 1)
            try await store.save(sandbox)
            try await store.save(.sample("b", at: Timestamp(microseconds: 5)))
            try await store.remove("none")
            #expect(try await other.all() == [.sample("b", at: Timestamp(microseconds: 5)), sandbox])
            #expect(try await another.version() != before)
            sandbox.metadata = [:]
            try await store.save(sandbox)
            try await store.remove("b")
            #expect(try await SQLiteStore(path: path).sandboxes.all() == [sandbox])
            let rights = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(rights == 0o600)
        }
    }

    @Test func `rows that cannot be read are told, and keep the others from nothing`() async throws {
        try await withStore { path async throws in
            let file = try SQLiteStore(path: path), store = file.sandboxes
            for id in ["good", "damaged", "other", "later"] { try await store.save(.sample(id)) }
            let database = try DatabaseQueue(path: path)
            for (id, document) in [
                ("damaged", "{"), ("later", #"{"version":9}"#),
                ("other", String(decoding: try JSONEncoder().encode(Sandbox.sample("good")), as: UTF8.self)),
            ] {
                try await database.write {
                    try $0.execute(sql: "UPDATE sandbox SET document = ? WHERE id = ?", arguments: [document, id])
                }
            }
            #expect(try await store.all().map(\.id) == ["good"])
            #expect(try await store.unreadable().sorted() == ["damaged", "later", "other"])
        }
    }

    @Test func `a store of the last release opens, and has room for snapshots`() async throws {
        try await withStore { path async throws in
            let sandbox = Sandbox.sample("a")
            let document = String(decoding: try JSONEncoder().encode(sandbox), as: UTF8.self)
            let database = try DatabaseQueue(path: path)
            try await database.write { db in
                try db.execute(
                    sql: """
                        CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
                        INSERT INTO grdb_migrations VALUES ('sandboxes');
                        CREATE TABLE sandbox (id TEXT PRIMARY KEY NOT NULL, createdAt INTEGER NOT NULL, document TEXT NOT NULL)
                        """)
                try db.execute(sql: "INSERT INTO sandbox VALUES ('a', 5, ?)", arguments: [document])
            }
            try database.close()
            let snapshot = Snapshot(id: "s", of: sandbox, name: "n", at: .now())
            let store = try SQLiteStore(path: path)
            #expect(try await store.sandboxes.all() == [sandbox])
            try await store.snapshots.save(snapshot)
            #expect(try await SQLiteStore(path: path).snapshots.all() == [snapshot])
            try await store.snapshots.remove("s")
            #expect(try await store.snapshots.all().isEmpty)
        }
    }

    /// Every byte as the first release that had a store wrote it: documents have got fields since, and none has become another.
    @Test func `a store of the first release is read, sandbox by sandbox, and can be written`() async throws {
        try await withStore { path async throws in
            let since = #""since":1760000000000000"#
            let first = #"{"state":"Pending","reason":"CREATING","message":"",\#(since)}"#
            let status = #"{"state":"Running","reason":"CONTAINER_RUNNING","message":"it runs",\#(since)}"#
            let document = #"""
                {"id":"7c2f","image":"sallyport/base:latest","entrypoint":["sleep","1000"],"metadata":{"k":"v"},
                 "extensions":{"access.renew.extend.seconds":"300"},"platform":{"os":"linux","arch":"amd64"},"status":\#(status),
                 "history":[\#(first),\#(status)],"createdAt":1760000000000000,"expiresAt":1860000000000000,
                 "secureAccess":true,"hasPolicy":true,
                 "network":{"namespacePath":"/run/n/7c2f","address":"10.8.0.2","addressV6":"fd00::2"}}
                """#
            let database = try DatabaseQueue(path: path)
            try await database.write { db in
                try db.execute(
                    sql: """
                        CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
                        INSERT INTO grdb_migrations VALUES ('sandboxes');
                        CREATE TABLE "sandbox" ("id" TEXT PRIMARY KEY NOT NULL, "createdAt" INTEGER NOT NULL, "document" TEXT NOT NULL)
                        """)
                try db.execute(
                    sql: "INSERT INTO sandbox VALUES ('7c2f', 1760000000000000, ?)", arguments: [document])
            }
            try database.close()
            let store = try SQLiteStore(path: path)
            #expect(try await store.sandboxes.unreadable().isEmpty)
            var sandbox = try #require(try await store.sandboxes.all().first)
            #expect(sandbox.id == "7c2f" && sandbox.entrypoint == ["sleep", "1000"] && sandbox.metadata == ["k": "v"])
            #expect(sandbox.status.state == .running && sandbox.status.message == "it runs")
            #expect(sandbox.history.map(\.state) == [.pending, .running] && sandbox.renewal == 300)
            #expect(sandbox.createdAt == Timestamp(microseconds: 1_760_000_000_000_000))
            #expect(sandbox.expiresAt == Timestamp(microseconds: 1_860_000_000_000_000))
            #expect(sandbox.secureAccess && sandbox.hasPolicy && sandbox.network?.namespacePath == "/run/n/7c2f")
            sandbox.metadata = [:]
            try await store.sandboxes.save(sandbox)
            #expect(try await SQLiteStore(path: path).sandboxes.all() == [sandbox])
        }
    }

    private final class Statements: Sendable {
        let all = Mutex<[String]>([])
    }

    @Test func `snapshots and pools outlive a power failure, and their commits wait for the disk`() async throws {
        try await withStore { path async throws in
            let store = try SQLiteStore(path: path), statements = Statements()
            #expect((store.snapshots as? SQLiteTable<Snapshot>)?.isDurable == true)
            #expect((store.pools as? SQLiteTable<Pool>)?.isDurable == true)
            #expect((store.sandboxes as? SQLiteTable<Sandbox>)?.isDurable == false)
            var configuration = GRDB.Configuration()
            configuration.prepareDatabase { db in
                db.trace { event in
                    let statement = "\(event)"
                    statements.all.withLock { $0.append(statement) }
                }
            }
            let table = SQLiteTable<Sandbox>(
                path: path, pool: try DatabasePool(path: path, configuration: configuration), name: "sandbox",
                isDurable: true
            ) { $0.createdAt }
            statements.all.withLock { $0 = [] }
            try await table.save(.sample("a"))
            let found = statements.all.withLock { $0.filter { $0.contains("synchronous") || $0.hasPrefix("COMMIT") } }
            #expect(found == ["PRAGMA synchronous = FULL", "COMMIT TRANSACTION", "PRAGMA synchronous = NORMAL"])
        }
    }

    @Test(arguments: [
        ("CREATE TABLE snapshots (id TEXT)", "another program's"),
        (
            "CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY); INSERT INTO grdb_migrations VALUES ('of 2030')",
            "a newer release"
        ),
    ])
    func `a file of another program, or of a newer release, is refused and stays as it is`(
        sql: String, word: String
    ) async throws {
        try await withStore { path async throws in
            let file = try DatabaseQueue(path: path)
            try await file.write { try $0.execute(sql: sql) }
            try file.close()
            let before = try Data(contentsOf: URL(filePath: path))
            let error = try #require(throws: StoreError.self) { _ = try SQLiteStore(path: path) }
            #expect(error.description.contains(word))
            #expect(try Data(contentsOf: URL(filePath: path)) == before)
        }
    }

    @Test func `an empty file becomes a store`() async throws {
        try await withStore { path async throws in
            try Data().write(to: URL(filePath: path))
            #expect(try await SQLiteStore(path: path).sandboxes.all().isEmpty)
        }
    }

    @Test func `a folder that is not there is an error that names the file, and says what has to be there`() throws {
        let error = try #require(throws: StoreError.self) { _ = try SQLiteStore(path: "/nowhere/x.db") }
        #expect(error.description.contains("/nowhere/x.db") && error.reason.contains("its folder has to be there"))
    }

    @Test func `a file that is no database is an error that says what to do, and stays as it is`() async throws {
        try await withStore { path async throws in
            try Data("not a database, just some text that is long enough".utf8).write(to: URL(filePath: path))
            let error = try #require(throws: StoreError.self) { _ = try SQLiteStore(path: path) }
            #expect(error.reason.contains("(SQLite error 26): restore a backup"))
            #expect(error.reason.contains(path + "-wal"))
            #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("not a database"))
        }
    }

    private static func writeWithoutRight(to path: String) throws {
        var configuration = Configuration()
        configuration.readonly = true
        try DatabaseQueue(path: path, configuration: configuration).write { try $0.execute(sql: "DELETE FROM sandbox") }
    }

    @Test func `a write to a file that may only be read says whose it has to be`() async throws {
        try await withStore { path async throws in
            _ = try SQLiteStore(path: path)
            let error = try #require(throws: DatabaseError.self) { try Self.writeWithoutRight(to: path) }
            let told = StoreError(path: path, error)
            #expect(told.reason.contains("(SQLite error 8)") && told.reason.contains("mounted read-only"))
        }
    }

    @Test(arguments: [
        (ResultCode.SQLITE_CORRUPT, "restore a backup"), (.SQLITE_CANTOPEN, "has to be there"),
        (.SQLITE_FULL, "make room"), (.SQLITE_IOERR_WRITE, "dmesg"), (.SQLITE_BUSY_SNAPSHOT, "fuser x.db"),
    ])
    func `what SQLite says of a file comes with what to do, and with SQLite's number for it`(
        code: ResultCode, advice: String
    ) {
        let told = StoreError(path: "x.db", DatabaseError(resultCode: code)).description
        #expect(told.contains(advice) && told.contains("(SQLite error \(code.rawValue))"))
    }
}

@Suite struct KeyedLockTests {
    private final class Tally: Sendable {
        let order = Mutex<[Int]>([])
        let inside = Mutex(0)
    }

    @Test func `one at a time for each key, in the order of coming, and other keys meanwhile`() async {
        let lock = KeyedLock(), tally = Tally()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<200 {
                group.addTask {
                    await lock.withLock("a") {
                        let count = tally.inside.withLock { inside in
                            inside += 1
                            return inside
                        }
                        #expect(count == 1)
                        await lock.withLock("b\(number)") { await Task.yield() }
                        tally.order.withLock { $0.append(number) }
                        tally.inside.withLock { $0 -= 1 }
                    }
                }
            }
        }
        #expect(tally.order.withLock { $0.sorted() } == Array(0..<200))
    }
}

@Suite struct ExpiryTimerTests {
    @Test func `each end is named once; a changed one counts as it was set last`() {
        let timer = ExpiryTimer()
        for (id, end) in [("a", 5), ("b", 10), ("c", 20)] { timer.set(id, Timestamp(microseconds: Int64(end))) }
        timer.set("a", Timestamp(microseconds: 30))
        timer.set("c", nil)
        #expect(timer.takeDue(at: Timestamp(microseconds: 10)) == ["b"])
        #expect(timer.takeDue(at: Timestamp(microseconds: 10)).isEmpty)
        #expect(timer.takeDue(at: Timestamp(microseconds: 100)) == ["a"])
    }

    @Test func `an end that is set while it sleeps wakes it`() async {
        let timer = ExpiryTimer()
        let (expired, heard) = AsyncStream<String>.makeStream()
        let running = Task { await timer.run { heard.yield($0) } }
        var ids = expired.makeAsyncIterator()
        for number in 0..<20 {
            timer.set("\(number)", Timestamp(microseconds: Timestamp.now().microseconds + 2000))
            #expect(await ids.next() == "\(number)")
        }
        running.cancel()
        await running.value
    }
}
