import Egress
import JSON
import NetworkPolicy

/// The presets of a server, looked at without one.
package struct KnownPresets {
    package struct Unknown: Error, CustomStringConvertible {
        package let description: String
    }

    private let files: [PresetFile]

    /// - Throws: `ConfigurationError` with the file that is no preset, or that has the name of another.
    package init(_ settings: Settings) throws { files = try Installation.current.presetFiles(settings.egress) }

    /// Each with its description, and below it what it opens.
    package func lines(of name: String? = nil) throws(Unknown) -> [String] {
        try chosen(name).flatMap { file in
            ["\(file.name): \(file.description) (\(file.path))"] + file.rules.map { "  \($0)" }
        }
    }

    /// The same for programs, the rules as a policy has them.
    package func json(of name: String? = nil) throws -> JSONValue {
        let found = try chosen(name).map { file throws -> JSONValue in
            let rules = try JSONValue(Policy.encodeRules(file.rules, .plain))
            return .object([
                "name": .string(file.name), "description": .string(file.description), "path": .string(file.path),
                "rules": rules,
            ])
        }
        return .array(found)
    }

    private func chosen(_ name: String?) throws(Unknown) -> [PresetFile] {
        let found = files.filter { name == nil || $0.name == name }
        if let name, found.isEmpty {
            let names = files.map(\.name).joined(separator: ", ")
            throw Unknown(
                description:
                    "there is no preset \(name.prefix(64)); \(names.isEmpty ? "there are none" : "the presets are \(names)")"
            )
        }
        return found
    }
}
