import Foundation
import JSON
import Logging
import NIOHTTP1
import Runtimes
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct TenantTests {
    private static let file = """
        [[tenants]]
        name = "red"
        namespace = "team-red"
        api_keys = ["red-1", "red-2"]
        [[tenants]]
        name = "blue"
        namespace = "team-blue"
        api_keys = ["blue-1"]
        """

    @Test func `a key is its tenant's, and a tenant is its namespace`() throws {
        let tenants = try Tenants(toml: Self.file)
        let red = try #require(tenants.caller(of: "red-1"))
        #expect(red == tenants.caller(of: "red-2") && red.scope == .operate && red.key == "tenant:team-red")
        #expect(red.name == "tenant:red" && tenants.caller(of: "blue-1")?.key != red.key && tenants.count == 2)
        for text in ["", "red", "red-1 ", "RED-1", APIKey.hash("red-1")] { #expect(tenants.caller(of: text) == nil) }
        #expect(try Tenants(toml: "") == .none && !"\(tenants)".contains("red-1"))
    }

    @Test func `their file is the environment's, the configuration's or the usual one, and an open server has none`()
        throws
    {
        func settings(_ server: String, _ environment: [String: String]) throws -> Settings {
            var settings = Settings()
            try settings.apply(
                text: "[server]\n\(server)\n[tenants]\nprovider = \"file\"\npath = \"/of/the/file\"", path: "t")
            try settings.apply(environment: environment)
            return settings
        }
        #expect(try settings("", [:]).tenants == "/of/the/file")
        #expect(try settings("", [Settings.tenantsVariable: "/of/it"]).tenants == "/of/it")
        var usual = Settings()
        try usual.apply(text: "[tenants]\nprovider = \"file\"", path: "t")
        try usual.apply(environment: ["HOME": "/home/u"])
        #expect(usual.tenants == "/home/u/.opensandbox/tenants.toml")
        let open = "api_key = \"\""
        #expect(throws: ConfigurationError.self) { try settings(open, [:]) }
        #expect(throws: ConfigurationError.self) { try settings("", ["OPENSANDBOX_SERVER_API_KEY": ""]) }
        #expect(try settings(open, ["OPENSANDBOX_SERVER_API_KEY": "key"]).server.apiKey == "key")
    }

    @Test(arguments: [
        "tenants = 1", "tenants = [1]", "[[tenants]]", "[[tenants]\n", "[[tenants]]\nname = \"a\"\nnamespace = \"n\"",
        "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = []",
        "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = [\"hidden\", \"\"]",
        "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = [\"hidden\", \"hidden\"]",
        "[[tenants]]\nname = \"\"\nnamespace = \"n\"\napi_keys = [\"hidden\"]",
        "[[tenants]]\nname = \"a\"\nnamespace = \"N x\"\napi_keys = [\"hidden\"]",
        "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = [\"hidden\"]\nhidden", "[[tenants]]\nname = 1",
        "[[tenant]]\nname = \"a\"",
        "[[tenants]]\nname = \"a\"\nnamespace = \"n\"\napi_keys = [\"hidden-key-of-the-server\"]",
    ]) func `a file that is none of tenants is refused without a word of its keys`(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try Tenants(toml: text, serverKey: "hidden-key-of-the-server")
        }
        #expect(error?.description.contains("hidden") == false)
    }

    @Test func `a file is looked at while the server runs: a bad one keeps the old tenants, none takes all keys back`()
        async throws
    {
        let folder = TemporaryFolder("tenants"), path = folder.path + "/tenants.toml", live = LiveTenants()
        let file = TenantFile(path: path)
        #expect(try file.load() == .none)
        try Self.file.write(toFile: path, atomically: true, encoding: .utf8)
        let follower = Task { await file.follow(live, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) }
        defer { follower.cancel() }
        #expect(try await eventually { live.current.caller(of: "red-1") != nil })
        try "[[tenants]]\nname = 1".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(throws: ConfigurationError.self) { try file.load() }
        try Self.file.replacing("red-1", with: "red-3").write(toFile: path, atomically: true, encoding: .utf8)
        #expect(
            try await eventually { live.current.caller(of: "red-3") != nil && live.current.caller(of: "red-1") == nil })
        try FileManager.default.removeItem(atPath: path)
        #expect(try await eventually { live.current == .none })
    }

    @Test func `a tenant sees and uses what is its namespace's, and the proxy's paths need a key`() async throws {
        let house = try House(tenants: try Tenants(toml: Self.file))
        let made = await house.send(.POST, "/v1/sandboxes", House.body(), key: "red-1")
        guard made.status == 202, case .string(let id)? = made.json?["id"] else {
            Issue.record("\(made.text)")
            return
        }
        for (key, status) in [("red-1", 200), ("red-2", 200), ("blue-1", 404), (House.apiKey, 200), ("nobody", 401)] {
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: key).status == status, "\(key)")
            let proxied = await house.relayed("/v1/sandboxes/\(id)/proxy/80/", key: key)
            #expect(proxied == (status == 200 ? nil : status), "\(key)")
        }
        #expect(await house.relayed("/v1/sandboxes/\(id)/proxy/80/", key: nil) == 401)
        #expect(house.runtime.specs[id]?.caller == "tenant:team-red")
        // A key that may only look opens nothing, and one that the server has been given since makes nobody an administrator.
        var keys = APIKeys.none
        let looker = try keys.create("looker", .read)
        house.keys.replace(with: keys)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)", key: looker).status == 200)
        #expect(await house.relayed("/v1/sandboxes/\(id)/proxy/80/", key: looker) == 403)
        let taken = try House(apiKey: "blue-1", tenants: try Tenants(toml: Self.file))
        #expect(await taken.send(.GET, "/metrics", key: "blue-1").status == 403)
        // Where there are none, the contract asks for no key there.
        let plain = try House()
        #expect(await plain.relayed("/v1/sandboxes/\(id)/proxy/80/", key: nil) == nil)
    }
}
