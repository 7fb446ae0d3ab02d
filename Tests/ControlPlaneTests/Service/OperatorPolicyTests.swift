import Foundation
import JSON
import NIOHTTP1
import NetworkPolicy
import Runtimes
import TestSupport
import Testing

@testable import ControlPlane

/// Sandboxes that are created without a policy, and the files that say what they get.
@Suite struct OperatorPolicyTests {
    private let folder = TemporaryFolder("policies")

    private func settings(_ policy: String) throws -> Settings {
        try policy.write(toFile: folder.path + "/default.json", atomically: true, encoding: .utf8)
        var settings = Settings()
        (settings.egress.defaultPolicy, settings.egress.presets) = (folder.path + "/default.json", folder.path)
        return settings
    }

    private func preset(_ name: String, to file: String) throws {
        let text = #"{"name":"\#(name)","description":"d","allow":[{"target":"\#(name).example"}]}"#
        try FileManager.default.createDirectory(atPath: folder.path + "/own", withIntermediateDirectories: true)
        try text.write(toFile: folder.path + "/own/" + file, atomically: true, encoding: .utf8)
    }

    private func failure(_ settings: Settings) -> String {
        do throws(ConfigurationError) {
            _ = try OperatorPolicies(settings)
            return ""
        } catch { return "\(error)" }
    }

    @Test func `the lists of guards beside sandboxes are not looked for on the server's machine`() throws {
        var settings = Settings()
        settings.egress.rulesFolder = folder.path + "/none"
        #expect(throws: ConfigurationError.self) { _ = try EgressPlane.lists(settings) }
        settings.egress.placement = .sidecar
        #expect(try EgressPlane.lists(settings) == nil)
    }

    @Test func `a sandbox without a policy gets the operator's, and one with a policy its own`() async throws {
        try preset("mirror", to: "mirror.json")
        var settings = try settings(#"{"egress":[{"preset":"mirror"},{"action":"allow","target":"a.example"}]}"#)
        // A file of the same folder, which is none of presets.
        settings.egress.presets = folder.path + "/own"
        let house = try House()
        house.rules.replace(
            with: APIRules(Settings.Server(), apiKey: House.apiKey, policies: try OperatorPolicies(settings)))
        func create(_ change: String = "") async throws -> Policy {
            let made = try await house.create(change)
            return try #require(house.runtime.specs[made]?.policy)
        }
        for change in ["", #","networkPolicy":null"#] {
            let policy = try await create(change)
            #expect(policy.isDefault && policy.defaultAction == .deny)
            #expect(policy.rules.map(\.description) == ["allow mirror.example", "allow a.example"])
        }
        let own = try await create(#","networkPolicy":{"defaultAction":"allow"}"#)
        #expect(own == .allowAll && !own.isDefault)
        #expect(try await create(#","networkPolicy":{}"#) == .denyAll)
        house.rules.replace(with: APIRules(Settings.Server(), apiKey: House.apiKey))
        #expect(try await create() == .allowAll, "as it is without the setting")
    }

    @Test func `a mistake names the setting, the file and the place`() throws {
        let place = "egress.default_policy: \(folder.path)/default.json: "
        var settings = try settings(#"{"egress":[{"action":"allow","target":"10.0.0.1/8"}]}"#)
        // The folder of presets is another one.
        settings.egress.presets = folder.path + "/own"
        try preset("mirror", to: "mirror.json")
        #expect(failure(settings).hasPrefix(place) && failure(settings).contains("10.0.0.0/8"))
        for (text, reason) in [
            ("", "it is empty"), ("{", "not valid JSON"), (#"{"egress":[{"preset":"no"}]}"#, "unknown preset \"no\""),
            (#"{"isDefault":true}"#, "unknown field"),
        ] {
            try text.write(toFile: folder.path + "/default.json", atomically: true, encoding: .utf8)
            #expect(failure(settings).hasPrefix(place) && failure(settings).contains(reason), "\(failure(settings))")
        }
        settings.egress.defaultPolicy = folder.path + "/none"
        #expect(failure(settings).hasPrefix("egress.default_policy: \(folder.path)/none: "))
        settings.egress.defaultPolicy = nil
        #expect(failure(settings) == "")
        settings.egress.ownPresets = folder.path + "/nowhere"
        #expect(failure(settings).contains("egress.own_presets: there is no folder"))
        settings.egress.ownPresets = folder.path + "/own"
        #expect(failure(settings).contains("mirror.json: the preset mirror is in"))
    }

    @Test func `it is refused where nobody could enforce it`() throws {
        var settings = try settings("{}")
        settings.egress.presets = folder.path + "/own"
        try preset("mirror", to: "mirror.json")
        settings.local.network = .host
        #expect(failure(settings).contains("local.network_mode = \"host\""))
    }

    @Test func `presets are listed with what they open`() throws {
        try preset("mirror", to: "mirror.json")
        var settings = Settings()
        settings.egress.presets = folder.path + "/own"
        let presets = try KnownPresets(settings)
        #expect(try presets.lines() == ["mirror: d (\(folder.path)/own/mirror.json)", "  allow mirror.example"])
        #expect(throws: KnownPresets.Unknown.self) { try presets.lines(of: "miror") }
        let listed = String(decoding: try presets.json(of: "mirror").encoded, as: UTF8.self)
        #expect(
            listed == #"[{"name":"mirror","description":"d","path":"\#(folder.path)/own/mirror.json","#
                + #""rules":[{"action":"allow","target":"mirror.example"}]}]"#)
    }
}
