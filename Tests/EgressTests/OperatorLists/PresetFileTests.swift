import Foundation
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

@Suite struct PresetFileTests {
    private let shipped = TemporaryFolder("shipped"), own = TemporaryFolder("own")

    private func write(_ name: String, to file: String, in folder: TemporaryFolder) throws {
        let text = #"{"name":"\#(name)","description":"d","allow":[{"target":"\#(name).example"}]}"#
        try text.write(toFile: folder.path + "/" + file, atomically: true, encoding: .utf8)
    }

    private func failure(_ body: () throws -> some Any) -> String {
        do {
            _ = try body()
            return ""
        } catch { return "\(error)" }
    }

    @Test func `the operator's own stand beside those that come with the program`() throws {
        try write("pypi", to: "pypi.json", in: shipped)
        try write("mirror", to: "ours.json", in: own)
        try Data("{".utf8).write(to: URL(filePath: own.path + "/preset.schema.json"))
        try Data("{".utf8).write(to: URL(filePath: own.path + "/README"))
        let files = try PresetFile.all(in: own.path, beside: PresetFile.all(in: shipped.path))
        #expect(files.map(\.name) == ["pypi", "mirror"] && files[1].path == own.path + "/ours.json")
        #expect(try Presets(files).rules(named: "mirror").map(\.description) == ["allow mirror.example"])
        #expect(try PresetFile.all(in: own.path + "/none").isEmpty)
    }

    @Test func `a name is one file's alone, and a mistake names its file`() throws {
        try write("pypi", to: "pypi.json", in: shipped)
        try write("pypi", to: "mine.json", in: own)
        let shadowed = failure { try PresetFile.all(in: own.path, beside: PresetFile.all(in: shipped.path)) }
        #expect(shadowed.hasPrefix(own.path + "/mine.json: ") && shadowed.contains(shipped.path + "/pypi.json"))
        try write("pypi", to: "mine2.json", in: own)
        #expect(failure { try PresetFile.all(in: own.path) }.hasPrefix(own.path + "/mine2.json: "))
        try write("Not A Name", to: "mine.json", in: own)
        #expect(
            failure { try PresetFile.all(in: own.path) }
                .hasPrefix(own.path + "/mine.json: \"Not A Name\" is not a preset name"))
        try Data("[".utf8).write(to: URL(filePath: own.path + "/mine.json"))
        #expect(failure { try PresetFile.all(in: own.path) }.hasPrefix(own.path + "/mine.json: "))
    }
}
