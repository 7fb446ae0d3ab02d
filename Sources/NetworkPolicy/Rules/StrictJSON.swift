/// A JSON text (RFC 8259) as a tree, read in the one way in which every parser reads it.
///
/// What parsers differ in is refused, since a policy must not mean one thing to whoever checks it and another thing here:
/// a name twice in an object, a comma behind the last entry, a byte order mark, another encoding than UTF-8.
enum StrictJSON: Hashable, Sendable {
    case null
    case boolean(Bool)
    /// A whole number without fraction and exponent, that fits.
    case integer(Int)
    /// Any other number.
    case number
    case string(String)
    case array([StrictJSON])
    case object([Member])

    struct Member: Hashable, Sendable {
        var name: String
        var value: StrictJSON
    }

    /// Arrays and objects inside each other; a policy has four.
    static let mostLevels = 16
    /// Members of one object: no more than this, so that looking for doubles costs little.
    static let mostMembers = 64

    /// - Throws: `PolicyError.notJSON` with the place of the first byte that is wrong.
    init(_ text: some Collection<UInt8>) throws(PolicyError) {
        var reader = StrictJSONReader(bytes: Array(text))
        self = try reader.value(level: 0)
        try reader.end()
    }

    /// Whether it is there at all: `null` is as good as nothing.
    var isNull: Bool { if case .null = self { true } else { false } }
}

/// The members of an object by their names, all of which must be known: a misspelled `ports` must not open every port.
struct StrictJSONFields {
    private let members: [StrictJSON.Member]

    /// - Parameter place: where the object is, for errors alone, as in all that follows.
    /// - Throws: `PolicyError.wrongShape` for what is no object, or has another member than `known`.
    init(
        _ json: StrictJSON, known: [String], expected: String, at place: @autoclosure () -> String = ""
    ) throws(PolicyError) {
        guard case .object(let members) = json else { throw .shape(expected, at: place()) }
        for member in members where !known.contains(member.name) {
            let place = place()
            let prefix = place.isEmpty ? "" : "\(place): "
            throw .wrongShape(
                "\(prefix)unknown field \"\(member.name.prefix(64))\": use \(known.joined(separator: ", "))")
        }
        self.members = members
    }

    /// Nil where it is missing or `null`.
    subscript(name: String) -> StrictJSON? {
        members.first { $0.name == name }.flatMap { $0.value.isNull ? nil : $0.value }
    }

    /// - Throws: `PolicyError.wrongShape` for anything but a string.
    func string(
        _ name: String, expected: String, at place: @autoclosure () -> String = ""
    ) throws(PolicyError) -> String? {
        guard let value = self[name] else { return nil }
        guard case .string(let text) = value else { throw .shape(expected, at: Self.place(place(), name)) }
        return text
    }

    /// - Throws: `PolicyError.wrongShape` for anything but an array.
    func array(
        _ name: String, expected: String, at place: @autoclosure () -> String = ""
    ) throws(PolicyError) -> [StrictJSON]? {
        guard let value = self[name] else { return nil }
        guard case .array(let entries) = value else { throw .shape(expected, at: Self.place(place(), name)) }
        return entries
    }

    private static func place(_ outer: String, _ name: String) -> String { outer.isEmpty ? name : "\(outer).\(name)" }
}

extension PolicyError {
    static func shape(_ expected: String, at place: String) -> PolicyError {
        .wrongShape("expected \(expected)" + (place.isEmpty ? "" : "; the mistake is at \(place)"))
    }
}
