import FoundationEssentials
import JSON
import Logging
import NIOHTTP1
import TestSupport
import Testing

@testable import ControlPlane

/// The audit log of the lifecycle API: who did what, and no secret.
@Suite struct RequestAuditTests {
    private let folder = TemporaryFolder("audit")
    private var path: String { folder.path + "/requests.log" }

    private func lines() throws -> [JSONValue] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { try JSONValue($0.utf8) }
    }

    @Test func `what changes something, hands something out or is refused has a line, and reading has none`()
        async throws
    {
        var keys = APIKeys.none
        let text = try keys.create("ci", .operate), reader = try keys.create("viewer", .read)
        let house = try House(
            keys: keys, audit: RequestAudit(path: path, limit: 0, logger: Logger(label: "test")))
        let body = House.body(#","env":{"PASSWORD":"271828"}"#)
        let answer = await house.send(
            .POST, "/v1/sandboxes?secret=271828", body, headers: ["x-request-id": "mine"], key: text)
        guard case .string(let id)? = answer.json?["id"] else { return #expect(Bool(false), "\(answer.text)") }
        let one = "/v1/sandboxes/\(id)"
        for target in ["/v1/sandboxes", one, one + "/diagnostics/logs", "/health"] {
            _ = await house.send(.GET, target, key: text)
        }
        #expect(try lines().count == 1)
        _ = await house.send(.GET, one + "/endpoints/44772", key: text)
        _ = await house.send(.DELETE, one, key: reader)
        _ = await house.send(.DELETE, one, key: "271828")
        _ = await house.send(.POST, one + "/pause")
        _ = await house.send(.DELETE, one + "?token=271828", key: text)
        let all = try lines()
        func column(_ name: String) -> [JSONValue?] { all.map { $0[name] } }
        #expect(
            column("key") == ["ci", "ci", "viewer", "unknown", "server.api_key", "ci"].map { .string($0) })
        #expect(column("status") == [202, 200, 403, 401, 202, 204].map { .integer($0) })
        #expect(column("code") == [nil, nil, .string("INSUFFICIENT_SCOPE"), .string("INVALID_API_KEY"), nil, nil])
        #expect(column("sandbox").allSatisfy { $0 == .string(id) } && column("request")[0] == .string("mine"))
        #expect(all[0]["path"] == .string("/v1/sandboxes") && all[5]["path"] == .string(one))
        #expect(column("keyId")[0] == .string(keys.all[0].id) && column("keyId")[4] == nil)
        let raw = try String(contentsOfFile: path, encoding: .utf8)
        for secret in ["271828", text, reader, House.apiKey] { #expect(!raw.contains(secret)) }
    }

    @Test func `those without a key cannot push out what others did`() async throws {
        let house = try House(audit: RequestAudit(path: path, limit: 200_000, logger: Logger(label: "test")))
        _ = await house.send(.DELETE, "/v1/sandboxes/x")
        for _ in 0..<2000 {
            _ = await house.send(.DELETE, "/v1/sandboxes/" + String(repeating: "%E2%80%8D", count: 300), key: "wrong")
        }
        let all = try lines()
        #expect(all.first?["key"] == .string("server.api_key") && all.count < 200)
        let longest =
            try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(\.utf8.count).max() ?? 0
        #expect(longest < 4000, "\(longest)")
    }

    @Test func `a request of a key that is revoked meanwhile has its name`() async throws {
        var keys = APIKeys.none
        let text = try keys.create("ci", .operate)
        let house = try House(keys: keys, audit: RequestAudit(path: path, limit: 0, logger: Logger(label: "test")))
        house.runtime.gate.close()
        async let answer = house.send(.POST, "/v1/sandboxes", House.body(), key: text)
        #expect(try await eventually { !house.runtime.left.isEmpty })
        house.keys.replace(with: .none)
        house.runtime.gate.open()
        _ = await answer
        #expect(try lines().last?["key"] == .string("ci (revoked)"))
    }

    @Test func `a path of any bytes is a line, and a file that cannot be written refuses nothing`() async throws {
        let house = try House(audit: RequestAudit(path: path, limit: 400, logger: Logger(label: "test")))
        for target in ["/v1/\u{1b}[31m", "/\n{\"key\":\"root\"}", "/" + String(repeating: "a", count: 5000)] {
            _ = await house.send(.POST, target)
        }
        #expect(try lines().allSatisfy { $0["key"] == .string("server.api_key") })
        #expect(FileManager.default.fileExists(atPath: path + ".1"), "it has been rotated")
        var quiet = Logger(label: "test")
        quiet.logLevel = .critical
        let without = try House(audit: RequestAudit(path: folder.path + "/none/log", limit: 0, logger: quiet))
        _ = try await without.create()
    }
}
