import JSON

/// Which rule of a preset a policy's rule is. As long as all rules of the preset are together, answers give the
/// preset's name instead.
struct PresetPlace: Hashable, Sendable {
    var name: String
    var index: Int
    /// How many rules the preset had when it was resolved.
    var count: Int
    /// Whether it was written as a target, `preset:pypi`, rather than in the field `preset`.
    var isText: Bool

    /// Whether both come from the same mention of a preset.
    func continues(as next: PresetPlace) -> Bool {
        next.name == name && next.count == count && next.isText == isText
    }
}

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

    /// The rules that a preset's name is replaced by, each marked with its place in the preset.
    /// - Parameter isText: whether the policy names the preset in a target.
    func rules(standingFor name: String, isText: Bool) throws(PolicyError) -> [Rule] {
        let rules = try rules(named: name)
        return rules.enumerated().map { index, rule in
            rule.placed(PresetPlace(name: name, index: index, count: rules.count, isText: isText))
        }
    }

    /// Reads one preset file. Presets may only allow.
    public static func decode(
        json: some Collection<UInt8>
    ) throws(PolicyError) -> (name: String, description: String, rules: [Rule]) {
        let expected = "a preset with name, description and allow, a list of objects with a target"
        let fields = try PolicyFields(
            JSONValue(policy: json), known: ["name", "description", "allow"], expected: expected)
        guard let name = try fields.string("name", expected: expected),
            let description = try fields.string("description", expected: expected),
            let entries = try fields.array("allow", expected: expected)
        else { throw .shape(expected, at: "") }
        guard isName(name) else { throw .invalidPresetName(name) }
        var rules: [Rule] = []
        for (index, entry) in entries.enumerated() {
            let place = "allow.[\(index)]"
            let entry = try PolicyFields(
                entry, known: ["target", "ports", "protocol"], expected: expected, at: place)
            guard let target = try entry.string("target", expected: expected, at: place) else {
                throw .shape(expected, at: place)
            }
            rules.append(try Rule(action: .allow, text: target, scope: TrafficScope(entry, rule: index)))
        }
        guard !rules.isEmpty else { throw .emptyChange }
        return (name, description, rules)
    }

    /// What policies can name in a target's text, too.
    private static func isName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || $0 == UInt8(ascii: "-")
            }
    }
}
