import Foundation
import NetworkPolicy
import Testing

@Suite struct PresetTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "policies")

    @Test(arguments: ["pypi", "npm", "github", "debian", "llm-apis"])
    func `a shipped preset is read, allows names only, and can be put into a policy`(name: String) throws {
        let data = try Data(contentsOf: Self.folder.appending(path: name + ".json"))
        let preset = try Presets.decode(json: data)
        #expect(preset.name == name)
        for rule in preset.rules {
            #expect(rule.action == .allow)
            if case .address = rule.target { Issue.record("\(rule.text) is an address, which is another's tomorrow") }
        }
        let presets = Presets(rules: [preset.name: preset.rules])
        let json = Array(#"{"egress":[{"preset":"\#(name)"},{"action":"deny","target":"x.example"}]}"#.utf8)
        let policy = try Policy.decode(json: json, presets: presets)
        #expect(policy.rules.dropLast().map(\.description) == preset.rules.map(\.description))
    }

    @Test func `every preset in the folder is tested here`() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path())
        #expect(
            Set(files) == [
                "pypi.json", "npm.json", "github.json", "debian.json", "llm-apis.json", "preset.schema.json",
                "resolvers",
            ])
    }

    @Test(arguments: [
        "{}", #"{"name":"a","description":"b","allow":[]}"#,
        #"{"name":"a","description":"b","allow":[{"target":"a b"}]}"#,
    ])
    func `a malformed preset is refused`(json: String) {
        #expect(throws: PolicyError.self) { try Presets.decode(json: Array(json.utf8)) }
    }
}
