import FoundationEssentials
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct APIKeyTests {
    @Test func `a key is found by its whole text, and its hash tells nothing of it`() throws {
        var keys = APIKeys.none
        let first = try keys.create("ci", .operate), second = try keys.create("ops", .admin)
        #expect(keys.key(of: first)?.name == "ci" && keys.key(of: second)?.scope == .admin)
        let id = try #require(APIKey.id(of: first))
        for wrong in [
            "", "sp_", String(first.dropLast()), first + "0", "sp_\(id)_" + String(repeating: "0", count: 64),
            first.uppercased(), second.replacing(APIKey.id(of: second)!, with: id), keys.all[0].hash, id,
        ] { #expect(keys.key(of: wrong) == nil, "\(wrong)") }
        let secret = try #require(first.split(separator: "_").last)
        #expect(!keys.json.contains(secret) && first.utf8.count == 84)
        #expect(try APIKeys(json: keys.json) == keys)
    }

    @Test func `two keys have two names, and a revoked one is nobody's`() throws {
        var keys = APIKeys.none
        let text = try keys.create("ci", .read)
        #expect(throws: ConfigurationError.self) { try keys.create("ci", .admin) }
        for name in [
            "", "a b", "-a", "ü", String(repeating: "a", count: 64), "unknown", "anybody", "server.api_key",
            keys.all[0].id,
        ] {
            #expect(throws: ConfigurationError.self) { try keys.create(name, .read) }
        }
        #expect(throws: ConfigurationError.self) { try keys.revoke("other") }
        try keys.revoke("ci")
        #expect(keys.key(of: text) == nil && keys.all.isEmpty)
        let again = try keys.create("ci", .read)
        #expect(again != text && keys.key(of: text) == nil)
        try keys.revoke(keys.all[0].id)
    }

    @Test(arguments: [
        "", "{}", "[1]", "[{}]",
        #"[{"id":"a","name":"b","scope":"read","hash":"c","createdAt":"2026-01-01T00:00:00Z"}]"#,
        #"[{"id":"0123456789abcdef","name":"b","scope":"root","hash":"c","createdAt":"2026-01-01T00:00:00Z"}]"#,
    ]) func `a file that is none of keys is refused without a word of it`(_ text: String) {
        let error = #expect(throws: ConfigurationError.self) { try APIKeys(json: text) }
        #expect(error?.description.contains("0123") == false)
    }

    @Test func `a rotated key is the same key with another secret, and the old one is taken no longer than asked`()
        throws
    {
        let start = Timestamp(microseconds: 1_800_000_000_000_000)
        func at(_ seconds: Int) -> Timestamp { start.adding(seconds: seconds) }
        var keys = APIKeys.none
        let first = try keys.create("ci", .operate, at: start), id = keys.all[0].id
        let second = try keys.rotate("ci", at: at(1))
        #expect(keys.key(of: first, at: at(1)) == nil && keys.key(of: second, at: at(1))?.id == id)
        let third = try keys.rotate(id, keeping: 60, at: at(10))
        #expect(keys.key(of: second, at: at(69))?.id == id && keys.key(of: third, at: at(69))?.scope == .operate)
        #expect(keys.key(of: second, at: at(70)) == nil && keys.key(of: third, at: at(70)) != nil)
        #expect(keys.key(of: first, at: at(11)) == nil, "the one before the last is over")
        #expect(try APIKeys(json: keys.json) == keys)
        // A rotation ends the overlap of the one before it.
        let fourth = try keys.rotate("ci", at: at(20))
        #expect(keys.key(of: second, at: at(20)) == nil && keys.key(of: third, at: at(20)) == nil)
        #expect(keys.key(of: fourth, at: at(20)) != nil && keys.key(of: String(repeating: "-", count: 64)) == nil)
        #expect(throws: ConfigurationError.self) { try keys.rotate("other") }
        for text in [first, second, third, fourth] {
            let secret = try #require(text.split(separator: "_").last)
            #expect(!keys.json.contains(secret))
        }
    }

    @Test func `a file of keys of a server before rotations is read`() throws {
        var keys = APIKeys.none
        let text = try keys.create("ci", .read)
        #expect(!keys.json.contains("former") && keys.key(of: text) != nil)
    }

    @Test func `scopes are in an order`() {
        #expect(KeyScope.read < .operate && KeyScope.operate < .admin && !(KeyScope.admin < .read))
    }

    @Test func `a file is its owner's, and changes of it are seen`() throws {
        let folder = TemporaryFolder("keys"), file = APIKeyFile(path: folder.path + "/secrets/api-keys")
        #expect(try file.load() == .none)
        #expect(throws: ConfigurationError.self) { try file.revoke("ci") }
        let text = try file.create("ci", .operate)
        #expect(try file.load().key(of: text)?.name == "ci")
        let mode = try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try file.revoke("ci")
        #expect(try file.load() == .none)
    }
}
