import FoundationEssentials

/// Named rule lists: `{"preset":"pypi"}` in a policy stands for the rules of `policies/pypi.json`.
public struct Presets: Hashable, Sendable {
    private let rules: [String: [Rule]]

    /// No presets: every name is unknown.
    public static let none = Presets(rules: [:])

    public init(rules: [String: [Rule]]) { self.rules = rules }

    /// The names, sorted.
    public var names: [String] { rules.keys.sorted() }

    /// - Throws: `PolicyError.unknownPreset`.
    public func rules(named name: String) throws(PolicyError) -> [Rule] {
        guard let found = rules[name] else { throw .unknownPreset(name) }
        return found
    }

    private struct Document: Decodable {
        struct Entry: Decodable {
            var target: String
            var ports: [PortDocument]?
            var `protocol`: String?
        }
        var name: String
        var description: String
        var allow: [Entry]
    }

    /// Reads one preset file; a preset only ever allows.
    public static func decode(json: some Collection<UInt8>) throws(PolicyError) -> (name: String, rules: [Rule]) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(json))
        } catch {
            throw .wrongShape("a preset has name, description and allow, a list of objects with a target")
        }
        var rules: [Rule] = []
        for (index, entry) in document.allow.enumerated() {
            let scope = try TrafficScope(ports: entry.ports, protocol: entry.protocol, rule: index)
            rules.append(try Rule(action: .allow, text: entry.target, scope: scope))
        }
        guard !rules.isEmpty else { throw .emptyChange }
        return (document.name, rules)
    }

    /// Reads every preset file of a folder; `preset.schema.json` beside them is no preset.
    /// - Throws: `PolicyError` for the first file that is no preset.
    public static func load(folder: String) throws(PolicyError) -> Presets {
        var all: [String: [Rule]] = [:]
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names.sorted() where name.hasSuffix(".json") && !name.hasSuffix(".schema.json") {
            let preset = try decode(json: FileManager.default.contents(atPath: folder + "/" + name) ?? Data())
            all[preset.name] = preset.rules
        }
        return Presets(rules: all)
    }
}
