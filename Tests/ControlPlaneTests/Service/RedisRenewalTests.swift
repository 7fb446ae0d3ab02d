import Foundation
import Ingress
import Logging
import NIOCore
import NIOPosix
import Redis
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

#if canImport(Glibc)
    import Glibc
#endif

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A redis-server of the test's own, with a password, which can go away and come back.
private final class RedisServer: Sendable {
    let folder = "/tmp/spt-redis-\(UInt32.random(in: 0 ... .max))"
    let port: Int
    private let tls: RedisTLS?
    private let process = Mutex<Process?>(nil)

    var address: RedisAddress { RedisAddress(port: port, password: "pass word", database: 2, tls: tls) }

    /// - Parameter authority: of its certificate and its clients'; nil for a server without TLS.
    init(authority: TestAuthority? = nil) async throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // None that the kernel gives to the connections of the tests beside this one.
        port = Int.random(in: 10_000..<30_000)
        var file = "bind 127.0.0.1\ndir \(folder)\nsave \"\"\nrequirepass \"pass word\"\n"
        if let authority {
            let own = try authority.issue("server", to: "IP:127.0.0.1"), client = try authority.issue("c", to: "DNS:c")
            tls = RedisTLS(authorities: authority.certificate, certificate: client.certificate, key: client.key)
            file += "port 0\ntls-port \(port)\ntls-cert-file \(own.certificate)\ntls-key-file \(own.key)\n"
            file += "tls-ca-cert-file \(authority.certificate)\ntls-auth-clients yes\n"
        } else {
            tls = nil
            file += "port \(port)\n"
        }
        try file.write(toFile: folder + "/redis.conf", atomically: true, encoding: .utf8)
        try await start()
    }

    /// Another may have the port for a moment, and so may a child of this process that has not reached its `exec`.
    func start() async throws {
        #expect(
            try await eventually {
                if process.withLock({ $0?.isRunning != true }) { try launch() }
                return (try? await send(["PING"])) == .simple("PONG")
            })
    }

    private func launch() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/redis-server")
        process.arguments = [folder + "/redis.conf"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process.withLock { $0 = process }
    }

    func stop() {
        process.withLock { process in
            // It inherits a mask that has SIGTERM blocked.
            if let process { kill(process.processIdentifier, SIGKILL) }
            process?.waitUntilExit()
            process = nil
        }
    }

    func remove() {
        stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    @discardableResult
    func send(_ words: [String]) async throws -> RESPValue {
        try await RedisSession.with(address, silence: .seconds(5)) { try await $0.send(words) }
    }
}

@Suite struct RedisRenewalTests {
    private func withRedis(_ body: (RedisServer) async throws -> Void) async throws {
        let redis = try await RedisServer()
        defer { redis.remove() }
        try await body(redis)
    }

    private func publisher(_ redis: RedisServer, limit: Int = 0, interval: Duration = .seconds(3600)) -> RenewPublisher
    {
        var settings = RenewPublisher.Settings(address: redis.address)
        (settings.queueLimit, settings.interval) = (limit, interval)
        return RenewPublisher(settings, logger: quiet)
    }

    @Test func `a session says who it is, and errors do not end it`() async throws {
        try await withRedis { redis async throws in
            try await RedisSession.with(redis.address, silence: .seconds(5)) { session in
                do {
                    try await session.send(["NONSENSE"])
                    Issue.record("Redis took nonsense")
                } catch let error as RedisError {
                    guard case .server = error else { throw error }
                }
                for (words, expected): ([String], RESPValue) in [
                    (["SET", "k", "v\r\nü"], .simple("OK")), (["GET", "k"], .bulk(Array("v\r\nü".utf8))),
                    (["GET", "none"], .bulk(nil)), (["BRPOP", "none", "0.05"], .array(nil)),
                ] {
                    let answer = try await session.send(words)
                    #expect(answer == expected)
                }
            }
            // In the database that was chosen, and not without the password.
            var other = redis.address
            other.database = 3
            let found = try await RedisSession.with(other, silence: .seconds(5)) { try await $0.send(["GET", "k"]) }
            #expect(found == .bulk(nil))
            other.password = "wrong"
            await #expect(throws: RedisError.self) {
                try await RedisSession.with(other, silence: .seconds(5)) { try await $0.send(["PING"]) }
            }
        }
    }

    @Test func `over TLS a session knows its server, and is known by its certificate`() async throws {
        let authority = try TestAuthority("redis")
        let redis = try await RedisServer(authority: authority)
        defer { redis.remove() }
        try await redis.send(["SET", "k", "v"])
        #expect(try await redis.send(["GET", "k"]) == .bulk(Array("v".utf8)))
        let file = redis.address.tls!
        let stranger = try TestAuthority("other")
        for (what, change): (String, (inout RedisAddress) -> Void) in [
            ("another authority", { $0.tls?.authorities = stranger.certificate }),
            ("the system's authorities", { $0.tls?.authorities = nil }),
            ("another name", { $0.host = "localhost" }),
            ("no certificate of the client's", { $0.tls = RedisTLS(authorities: file.authorities) }),
            ("files that are not there", { $0.tls?.authorities = "/none" }), ("no TLS", { $0.tls = nil }),
        ] {
            var address = redis.address
            change(&address)
            await #expect(throws: (any Error).self, "\(what)") {
                try await RedisSession.with(address, silence: .seconds(5)) { try await $0.send(["GET", "k"]) }
            }
        }
    }

    @Test func `an access through a gateway elsewhere prolongs the sandbox, once in the interval`() async throws {
        try await withRedis { redis async throws in
            let house = try House(), renewals = AccessRenewals(), renewed = Mutex(0)
            let routes = RouteTable(
                policySocket: "/p", credentialKey: [1],
                renewals: .init(interval: .seconds(3600)) { id, seconds in
                    renewed.withLock { $0 += 1 }
                    renewals.ask(id, seconds)
                })
            let id = try await house.create(#","extensions":{"access.renew.extend.seconds":"7200"}"#)
            let plain = try await house.create()
            for id in [id, plain] { routes.set(id, try house.service.sandbox(id)) }
            let end = try house.service.sandbox(id).expiresAt!, plainEnd = try house.service.sandbox(plain).expiresAt
            var settings = Settings.Renewal.Redis(address: redis.address)
            settings.workers = 3
            let consumer = RenewConsumer(settings: settings, routes: routes, logger: quiet)
            let consuming = Task { await consumer.run() }
            let running = Task { await renewals.run(house.service) { routes.renewalFailed($0) } }
            let publisher = publisher(redis, interval: .zero)
            let publishing = Task { await publisher.run() }
            defer { for task in [consuming, running, publishing] { task.cancel() } }
            for _ in 0..<20 {
                for id in [id, plain, "none"] { publisher.accessed(id) }
            }
            #expect(
                try await eventually { try house.service.sandbox(id).expiresAt! >= end.adding(seconds: 3600) })
            #expect(try await eventually { try await redis.send(["LLEN", settings.queue]) == .integer(0) })
            #expect(renewed.withLock { $0 } == 1)
            #expect(try house.service.sandbox(plain).expiresAt == plainEnd)
            // The lock is there for a moment, of the right name, and only for what wants renewals.
            let lock = try await redis.send(["TTL", RenewConsumer.lockPrefix + id])
            guard case .integer(let seconds) = lock else {
                Issue.record("\(lock)")
                return
            }
            #expect((1...10).contains(seconds))
            #expect(try await redis.send(["EXISTS", RenewConsumer.lockPrefix + plain]) == .integer(0))
        }
    }

    @Test func `another server that is at it keeps this one from it`() async throws {
        try await withRedis { redis async throws in
            let asked = Mutex<[String]>([])
            let routes = RouteTable(
                policySocket: "/p", credentialKey: [1],
                renewals: .init(interval: .zero) { id, _ in asked.withLock { $0.append(id) } })
            for id in ["locked", "free"] {
                var sandbox = Sandbox.sample(id)
                sandbox.extensions[Sandbox.renewExtension] = "300"
                sandbox.expiresAt = .now().adding(seconds: 60)
                routes.set(id, sandbox)
            }
            try await redis.send(["SET", RenewConsumer.lockPrefix + "locked", "other", "EX", "60"])
            let consumer = RenewConsumer(
                settings: .init(address: redis.address), routes: routes, logger: quiet)
            let consuming = Task { await consumer.run() }
            for text in [
                RenewIntent(sandbox: "locked").json, "nonsense", #"{"sandbox_id":"../x","observed_at":"x"}"#,
                RenewIntent(sandbox: "free", observedAt: .now - 3600).json,
            ] { try await redis.send(["LPUSH", RenewIntent.defaultQueue, text]) }
            #expect(try await eventually { try await redis.send(["LLEN", RenewIntent.defaultQueue]) == .integer(0) })
            try await redis.send(["LPUSH", RenewIntent.defaultQueue, RenewIntent(sandbox: "free").json])
            #expect(try await eventually { asked.withLock { $0 } == ["free"] })
            consuming.cancel()
        }
    }

    @Test func `the list holds no more than it may, and a sandbox is in it once in the interval`() async throws {
        try await withRedis { redis async throws in
            let publisher = publisher(redis, limit: 3)
            let publishing = Task { await publisher.run() }
            for number in 0..<10 {
                for _ in 0..<5 { publisher.accessed("s\(number)") }
            }
            func list() async throws -> [String] {
                guard case .array(let values?) = try await redis.send(["LRANGE", RenewIntent.defaultQueue, "0", "-1"])
                else { return [] }
                return values.compactMap {
                    if case .bulk(let json?) = $0 { RenewIntent(json: json)?.sandbox } else { nil }
                }
            }
            #expect(try await eventually { try await list() == ["s9", "s8", "s7"] })
            publishing.cancel()
        }
    }

    @Test func `no access waits for Redis, and both sides come back when it does`() async throws {
        try await withRedis { redis async throws in
            let asked = Mutex(0)
            let routes = RouteTable(
                policySocket: "/p", credentialKey: [1],
                renewals: .init(interval: .zero) { _, _ in asked.withLock { $0 += 1 } })
            var sandbox = Sandbox.sample("s")
            sandbox.extensions[Sandbox.renewExtension] = "300"
            sandbox.expiresAt = .now().adding(seconds: 60)
            routes.set("s", sandbox)
            let consumer = RenewConsumer(settings: .init(address: redis.address), routes: routes, logger: quiet)
            let publisher = publisher(redis, interval: .zero)
            let tasks = [Task { await consumer.run() }, Task { await publisher.run() }]
            publisher.accessed("s")
            #expect(try await eventually { asked.withLock { $0 } >= 1 })
            redis.stop()
            for _ in 0..<10_000 { publisher.accessed("s") }
            try await redis.start()
            try await redis.send(["DEL", RenewConsumer.lockPrefix + "s"])
            let before = asked.withLock { $0 }
            #expect(
                try await eventually {
                    publisher.accessed("s")
                    return asked.withLock { $0 } > before
                })
            for task in tasks { task.cancel() }
        }
    }

    @Test func `an intent is JSON as OSEP-0009 has it`() throws {
        let intent = RenewIntent(sandbox: "s", observedAt: Date(timeIntervalSince1970: 1_700_000_000))
        let fields = try JSONSerialization.jsonObject(with: Data(intent.json.utf8)) as? [String: String]
        #expect(fields == ["sandbox_id": "s", "observed_at": "2023-11-14T22:13:20Z"])
        // As the reference gateway writes it.
        let other =
            #"{"sandbox_id":"s-1","observed_at":"2026-03-15T10:00:00.123456789Z","port":8080,"request_uri":"/x"}"#
        let now = Timestamp("2026-03-15T10:01:00Z")!
        #expect(RenewConsumer.wanted(Array(other.utf8), now: now) == "s-1")
        #expect(RenewConsumer.wanted(Array(other.utf8), now: now.adding(seconds: 3600)) == nil)
        let long =
            #"{"sandbox_id":"s","observed_at":"2026-03-15T10:00:00Z","x":""# + String(repeating: "x", count: 9000)
            + "\"}"
        #expect(RenewConsumer.wanted(Array(long.utf8), now: now) == nil)
    }
}
