import HTTPServer
import JSON
import NIOHTTP1
import Runtimes
import Testing

@testable import ControlPlane

/// Named API keys at the lifecycle API: whose sandboxes are whose, and which key may do what.
@Suite struct KeyedAPITests {
    private func house() throws -> (house: House, texts: [KeyScope: String], other: String) {
        var keys = APIKeys.none, texts: [KeyScope: String] = [:]
        for scope in KeyScope.allCases { texts[scope] = try keys.create("\(scope)", scope) }
        let other = try keys.create("other", .operate)
        return (try House(keys: keys), texts, other)
    }

    private func create(_ house: House, _ key: String) async throws -> String {
        let answer = await house.send(.POST, "/v1/sandboxes", House.body(), key: key)
        guard answer.status == 202, case .string(let id)? = answer.json?["id"] else {
            throw APIError(.internalServerError, "TEST", answer.text)
        }
        return id
    }

    private func listed(_ house: House, _ key: String) async -> Int? {
        guard case .array(let items)? = await house.send(.GET, "/v1/sandboxes", key: key).json?["items"] else {
            return nil
        }
        return items.count
    }

    @Test func `a key's sandboxes are its own and the administrators'`() async throws {
        let (house, texts, other) = try house()
        let id = try await create(house, texts[.operate]!)
        let unknown = "/v1/sandboxes/00000000-0000-4000-8000-000000000000"
        for (method, rest, body) in [
            (HTTPMethod.GET, "", ""), (.DELETE, "", ""), (.POST, "/pause", ""), (.PATCH, "/metadata", "{}"),
            (.GET, "/networkpolicy/explain?target=a.example", ""), (.GET, "/networkpolicy/suggestion", ""),
            (.GET, "/networkpolicy/effective", ""),
            (.GET, "/networkpolicy/events", ""), (.GET, "/networkpolicy/events?limit=1", ""),
            (.GET, "/networkpolicy", ""), (.PUT, "/networkpolicy", "{}"), (.GET, "/endpoints/80", ""),
            (.GET, "/diagnostics/summary", ""), (.POST, "/endpoints/80/revoke", ""),
        ] {
            let answer = await house.send(method, "/v1/sandboxes/\(id)" + rest, body, key: other)
            let control = await house.send(method, unknown + rest, body, key: other)
            #expect(answer.status == 404 && control.status == 404, "\(method) \(rest)")
            #expect(answer.json?["code"] == control.json?["code"], "nobody learns that it is there")
        }
        #expect(await listed(house, other) == 0)
        for key in [texts[.operate]!, texts[.read]!, texts[.admin]!, House.apiKey] {
            #expect(await listed(house, key) == 1)
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: key).status == 200)
        }
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)/endpoints/80", key: texts[.read]!).status == 403)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)", key: texts[.admin]!).status == 204)
    }

    @Test func `a key is told of its own sandboxes of a pool, and of nobody else's`() async throws {
        let (house, texts, other) = try house()
        try await house.pools.create(
            Pool(
                name: "p", template: PoolTemplate(image: "known"),
                capacity: PoolCapacity(bufferMin: 0, bufferMax: 0, poolMin: 0, poolMax: 9), createdAt: .now()))
        let body = #"{"extensions":{"poolRef":"p"}}"#
        #expect(await house.send(.POST, "/v1/sandboxes", body, key: texts[.operate]!).status == 202)
        for (key, count) in [(texts[.operate]!, 1), (other, 0), (texts[.read]!, 1), (House.apiKey, 1)] {
            let pool = await house.send(.GET, "/v1/pools/p", key: key)
            for name in ["total", "allocated"] {
                #expect(pool.json?["status"]?[name] == .integer(count), "\(name): \(pool.text)")
            }
            let listed = await house.send(.GET, "/v1/pools", key: key)
            #expect(listed.json?["items"] == pool.json.map { JSONValue.array([$0]) })
        }
    }

    @Test func `a runtime is told whose sandbox it makes, since named volumes have owners, too`() async throws {
        let (house, texts, other) = try house()
        let ids = [try await create(house, texts[.operate]!), try await create(house, other)]
        let callers = ids.map { house.runtime.specs[$0]?.caller }
        #expect(callers == ids.map { house.service.catalog[$0]?.owner })
        #expect(callers.allSatisfy { $0 != nil } && callers[0] != callers[1])
        let own = try await create(house, House.apiKey)
        #expect(house.runtime.specs[own] != nil && house.runtime.specs[own]?.caller == nil)
    }

    /// What is left of a path when the names in it are filled in.
    private func filled(_ pattern: String, _ id: String) -> String {
        pattern.replacing("{id}", with: id).replacing("{port}", with: "80").replacing("{name}", with: "a")
    }

    @Test func `a scope opens what it is for, and every route asks for one`() async throws {
        let (house, texts, _) = try house()
        let open = ["/health", "/version", "/openapi.json", "/docs", "/redoc"]
        var refused: [KeyScope: Set<String>] = [.read: [], .operate: [], .admin: []]
        for (method, pattern) in house.api.http.patterns {
            guard let method, !open.contains(where: { pattern.hasPrefix($0) }) else { continue }
            for (scope, text) in texts {
                let answer = await house.send(method, filled(pattern, "none"), key: text)
                if answer.json?["code"] == .string("INSUFFICIENT_SCOPE") {
                    #expect(answer.status == 403)
                    refused[scope]!.insert("\(method) \(pattern)")
                }
            }
        }
        let pools = ["POST /pools", "PUT /pools/{name}", "DELETE /pools/{name}"]
        let images = ["DELETE /images", "POST /images/prune"]
        let administrative =
            ["GET /metrics"] + (pools + images).flatMap { [$0, $0.replacing(" /", with: " /v1/")] }
        #expect(refused[.admin] == [] && refused[.operate] == Set(administrative))
        let reads = refused[.read]!.filter { $0.hasPrefix("GET ") }
        // An endpoint has the tokens with which code is run.
        #expect(
            reads == [
                "GET /metrics", "GET /sandboxes/{id}/endpoints/{port}", "GET /v1/sandboxes/{id}/endpoints/{port}",
            ])
        let changes = house.api.http.patterns.filter {
            $0.method.map { $0 != .GET } ?? false && $0.pattern != "/v1/metrics/events"
        }
        #expect(refused[.read]!.subtracting(reads) == Set(changes.map { "\($0.method!) \($0.pattern)" }))
    }

    @Test func `a key that is revoked opens nothing from then on, and its sandboxes stay`() async throws {
        let (house, texts, _) = try house()
        let key = texts[.operate]!
        let id = try await create(house, key)
        var keys = house.keys.current
        try keys.revoke("operate")
        house.keys.replace(with: keys)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: key).json?["code"] == .string("INVALID_API_KEY"))
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)").status == 200)
        let again = try keys.create("operate", .operate)
        house.keys.replace(with: keys)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: again).status == 404, "a name is no owner")
    }
}
