import Foundation
import HTTPClient
import JSON
import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct TenantCacheTests {
    private static let second = TenantCache.second
    private var cache = TenantCache(maxStale: 300 * TenantCache.second)

    @Test func `an answer counts for its time, and longer only while there is no other`() {
        var cache = cache
        #expect(cache.answer("a", at: 0) == .none && cache.asks("a", at: 0))
        cache.learn("a", namespace: "red", ttl: 30, at: 0)
        #expect(!cache.asks("a", at: 30 * Self.second - 1) && cache.asks("a", at: 30 * Self.second))
        #expect(cache.answer("a", at: 330 * Self.second - 1) == .tenant(namespace: "red"))
        #expect(cache.answer("a", at: 330 * Self.second) == .none && cache.knows("a"), "it had one")
        cache.learn("a", namespace: "red", ttl: 30, at: 0)
        cache.learnUnknown("a", at: 5)
        #expect(!cache.knows("a"))
        #expect(cache.answer("a", at: 5) == .nobody, "a key that is taken back is nobody's at once")
    }

    @Test func `nobody asks again at once for a key that is nobody's, or a provider that does not answer`() {
        var cache = cache
        cache.learnUnknown("a", at: 0)
        #expect(!cache.asks("a", at: TenantCache.unknownTime - 1) && cache.asks("a", at: TenantCache.unknownTime))
        #expect(cache.answer("a", at: TenantCache.unknownTime) == .none)
        cache.noteOutage(at: 100)
        #expect(!cache.asks("b", at: 100) && cache.asks("b", at: 100 + TenantCache.pause))
        #expect(cache.answer("b", at: 100) == .none)
    }

    @Test func `what it says wrongly of one key holds up no other`() {
        var cache = cache
        cache.noteFailure("a", at: 0)
        #expect(!cache.asks("a", at: TenantCache.pause - 1) && cache.asks("a", at: TenantCache.pause))
        #expect(cache.asks("b", at: 0) && cache.answer("a", at: 0) == .none)
        for number in 0..<TenantCache.most * 2 { cache.noteFailure("x\(number)", at: 0) }
        #expect(cache.count <= TenantCache.most)
    }

    @Test func `made-up keys are bounded and take no tenant's place`() {
        var cache = cache
        cache.learn("a", namespace: "red", ttl: 30, at: 0)
        for number in 0..<TenantCache.most * 2 { cache.learnUnknown("x\(number)", at: UInt64(number)) }
        #expect(cache.count <= TenantCache.most + 1)
        #expect(cache.answer("a", at: 1) == .tenant(namespace: "red"))
        for number in 0..<TenantCache.most * 2 {
            cache.learn("t\(number)", namespace: "n", ttl: 30, at: UInt64(number))
        }
        #expect(cache.count <= TenantCache.most * 2)
    }
}

@Suite struct TenantProviderTests {
    /// What the provider says, by the key that it is asked about; nil: nothing, and the connection stays open.
    private final class Script: Sendable {
        let answers = Mutex<[String: (status: Int, body: String)]>([:])
        let time = Mutex<UInt64>(1)
    }

    private let script = Script()

    private func server() throws -> HookServer {
        try HookServer { [script] request in
            let field = request.split(separator: "\r\n").first { $0.lowercased().hasPrefix("open-sandbox-api-key: ") }
            let key = field.map { String($0.dropFirst(22)) } ?? ""
            return script.answers.withLock { $0[key] ?? (401, "") }
        }
    }

    private func provider(_ server: HookServer, timeout: UInt64 = 60_000, maxStale: Int = 300) -> TenantProvider {
        var settings = TenantProvider.Settings(
            endpoint: HTTPEndpoint("http://127.0.0.1:\(server.port)/of?kind=key")!, maxStale: maxStale, timeout: timeout
        )
        (settings.header, settings.token) = ("X-Server", "t0ken")
        return TenantProvider(settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { [script] in
            script.time.withLock { $0 }
        }
    }

    private func say(_ key: String, _ status: Int, _ body: String = "") {
        script.answers.withLock { $0[key] = (status, body) }
    }
    private func pass(_ seconds: UInt64) { script.time.withLock { $0 += seconds * TenantCache.second } }

    private func caller(_ key: String, _ provider: TenantProvider) async throws -> Caller? {
        await provider.question(about: key)?.value
        return try provider.caller(of: key)
    }

    @Test func `a key is asked for once, in its field, and its tenant is a namespace`() async throws {
        let server = try server(), provider = provider(server)
        say("red-1", 200, #"{"namespace":"team-red","ttl":60}"#)
        for _ in 0..<20 {
            let red = try await caller("red-1", provider)
            #expect(red?.key == "tenant:team-red" && red?.scope == .operate)
        }
        #expect(server.requests.count == 1)
        let asked = try #require(server.requests.first)
        #expect(asked.hasPrefix("GET /of?kind=key HTTP/1.1\r\n") && asked.contains("X-Server: t0ken\r\n"))
        #expect(try await caller("wrong", provider) == nil)
        #expect(try await caller("wrong", provider) == nil)
        #expect(server.requests.count == 2)
        pass(61)
        say("red-1", 403)
        #expect(try await caller("red-1", provider) == nil, "it was taken back")
        server.stop()
    }

    @Test func `equal questions at one time are one`() async throws {
        let server = try server(), provider = provider(server)
        say("red-1", 200, #"{"namespace":"team-red"}"#)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                let question = provider.question(about: "red-1")
                group.addTask { await question?.value }
            }
        }
        #expect(try provider.caller(of: "red-1") != nil && server.requests.count == 1)
        server.stop()
    }

    @Test(arguments: [
        (500, ""), (302, ""), (200, ""), (200, "[]"), (200, #"{"namespace":"A b"}"#), (200, #"{"namespace":""}"#),
        (200, #"{"namespace":"a","ttl":-1}"#), (200, #"{"namespace":"a","ttl":"x"}"#), (200, #"{"ttl":30}"#),
        (404, ""), (429, ""),
    ]) func `a provider that gives no answer lets nobody in`(_ status: Int, _ body: String) async throws {
        let server = try server(), provider = provider(server)
        say("red-1", status, body)
        for _ in 0..<3 {
            let error = await #expect(throws: APIError.self) { try await caller("red-1", provider) }
            #expect(error?.status == .serviceUnavailable && error?.code == "TENANT_PROVIDER_UNAVAILABLE")
            #expect(error?.message.contains("red-1") == false)
        }
        #expect(server.requests.count == 1, "it has a pause before it is asked again")
        say("blue-1", 200, #"{"namespace":"team-blue"}"#)
        let blue = try? await caller("blue-1", provider)
        #expect((blue != nil) == (status < 500), "what it says of one key holds up no other")
        pass(1)
        say("red-1", 200, #"{"namespace":"team-red","ttl":1e300}"#)
        #expect(try await caller("red-1", provider)?.key == "tenant:team-red")
        server.stop()
    }

    @Test func `one that is silent is given up, and what it said last counts for a while`() async throws {
        let server = try server(), provider = provider(server, maxStale: 100)
        say("red-1", 200, #"{"namespace":"team-red","ttl":10}"#)
        #expect(try await caller("red-1", provider) != nil)
        say("red-1", 500)
        pass(60)
        #expect(try await caller("red-1", provider)?.key == "tenant:team-red")
        pass(60)
        await #expect(throws: APIError.self) { try await caller("red-1", provider) }
        server.stop()
        let silent = try HookServer(statuses: []), other = self.provider(silent, timeout: 50)
        await #expect(throws: APIError.self) { try await caller("red-1", other) }
        silent.stop()
    }

    @Test func `a flood of made-up keys is not passed on, and tenants that are known go on`() async throws {
        let server = try server(), provider = provider(server)
        say("red-1", 200, #"{"namespace":"team-red","ttl":3600}"#)
        #expect(try await caller("red-1", provider) != nil)
        var refused = 0
        for number in 0..<TenantProvider.burst * 4 {
            do { #expect(try await caller("made-up-\(number)", provider) == nil) } catch { refused += 1 }
        }
        #expect(server.requests.count == TenantProvider.burst && refused == TenantProvider.burst * 3 + 1)
        #expect(try await caller("red-1", provider) != nil)
        for key in ["", "a b", "ü", "a\r\nX: y", String(repeating: "k", count: 1025)] {
            #expect(provider.question(about: key) == nil)
            #expect(try provider.caller(of: key) == nil, "it can be no key, and is not sent on")
        }
        server.stop()
    }

    @Test func `a request waits for the provider, a proxied one, too, and the server's own keys are not shown to it`()
        async throws
    {
        let server = try server()
        let house = try House(provider: provider(server))
        say("red-1", 200, #"{"namespace":"team-red","ttl":60}"#)
        say("blue-1", 200, #"{"namespace":"team-blue","ttl":60}"#)
        let made = await house.send(.POST, "/v1/sandboxes", House.body(), key: "red-1")
        guard made.status == 202, case .string(let id)? = made.json?["id"] else {
            Issue.record("\(made.text)")
            return
        }
        for (key, status) in [("red-1", 200), ("blue-1", 404), (House.apiKey, 200), ("nobody", 401)] {
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: key).status == status, "\(key)")
        }
        var keys = APIKeys.none
        let named = try keys.create("looker", .read)
        house.keys.replace(with: keys)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: named).status == 200)
        #expect(!server.requests.contains { $0.contains(House.apiKey) || $0.contains(named) })
        // A relay is asked only when the provider has answered.
        say("green-1", 200, #"{"namespace":"team-red","ttl":60}"#)
        let cases: [(key: String?, status: Int?)] = [("green-1", nil), ("lost", 401), (nil, 401)]
        for (key, status) in cases {
            #expect(await house.relayedLater("/v1/sandboxes/\(id)/proxy/80/", key: key) == status, "\(key ?? "none")")
        }
        say("late-1", 500)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: "late-1").status == 503)
        #expect(await house.relayedLater("/v1/sandboxes/\(id)/proxy/80/", key: "late-1") == 503)
        server.stop()
    }

    @Test func `it is asked for guarded routes alone`() async throws {
        let server = try server(), house = try House(provider: provider(server))
        for path in ["/health", "/ready", "/v1/nothing"] { _ = await house.send(.GET, path, key: "red-1") }
        #expect(server.requests.isEmpty)
        #expect(await house.send(.GET, "/v1/sandboxes", key: "red-1").status == 401 && server.requests.count == 1)
        server.stop()
    }

    @Test func `its settings are the contract's, and what would leave it open or half set is refused`() throws {
        func settings(_ text: String) throws -> TenantProvider.Settings? {
            var settings = Settings()
            try settings.apply(text: "[tenants]\nprovider = \"http\"\n" + text, path: "t")
            try settings.apply(environment: [:])
            return settings.tenantProvider
        }
        let endpoint = "endpoint = \"https://tenants.example/of-key\"\n"
        let found = try #require(
            try settings(
                endpoint + "max_stale_seconds = 10.5\ntimeout_seconds = 2\nauth_header = \"X-A\"\nauth_token = \"t\""))
        #expect(found.maxStale == 10 && found.timeout == 2000 && found.header == "X-A" && found.token == "t")
        #expect(found.endpoint.target == "/of-key" && found.endpoint.isSecure)
        for text in [
            "", "endpoint = \"tenants.example\"", "endpoint = \"https://u:p@tenants.example\"",
            endpoint + "path = \"/x\"",
            endpoint + "timeout_seconds = 0", endpoint + "max_stale_seconds = -1", endpoint + "auth_header = \"X-A\"",
            endpoint + "auth_token = \"t\"", endpoint + "auth_header = \"a b\"\nauth_token = \"t\"",
            endpoint + "auth_header = \"Open-Sandbox-Api-Key\"\nauth_token = \"t\"",
            endpoint + "auth_header = \"X-A\"\nauth_token = \"hidden\\r\\nX: y\"",
            endpoint + "[server]\napi_key = \"\"",
        ] {
            let error = #expect(throws: ConfigurationError.self) { try settings(text) }
            #expect(error?.description.contains("hidden") == false)
        }
    }
}
