/// A JSON text (RFC 8259) as a tree, read in the one way in which every parser reads it.
///
/// What parsers differ in is refused, since a text must not mean one thing to whoever checks it and another thing here: a name
/// twice in an object, a comma behind the last entry, a byte order mark, another encoding than UTF-8, a number that no machine
/// holds. Reading takes time in proportion to the text, whatever is in it.
public enum JSONValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    /// A whole number without fraction and exponent, that fits.
    case integer(Int)
    /// Any other number; finite where it was read.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// Arrays and objects inside each other. Nothing that anybody sends has ten.
    public static let maxLevels = 64

    /// - Throws: `JSONError` with the place of the first byte that is wrong.
    public init(_ text: some Collection<UInt8>, levels: Int = maxLevels) throws(JSONError) {
        var reader = JSONReader(bytes: Array(text), maxLevels: levels)
        self = try reader.value(level: 0)
        try reader.end()
    }

    /// Whether it is there at all: `null` is as good as nothing.
    public var isNull: Bool { if case .null = self { true } else { false } }

    /// A member of an object; nil for any other value, and where it is missing.
    public subscript(name: String) -> JSONValue? {
        if case .object(let object) = self { object[name] } else { nil }
    }
}

/// Why a text is no JSON that is read here.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    /// How many bytes stand before the first one that is wrong.
    public let position: Int

    public var description: String { "\(reason), at byte \(position)" }
}

/// The members of an object in the order in which they stood there. No name is there twice.
public struct JSONObject: Sendable {
    public struct Member: Equatable, Sendable {
        public let name: String
        public let value: JSONValue
    }

    public private(set) var members: [Member] = []
    /// Where a name stands; nil for few members, among which looking is quicker.
    private var places: [String: Int]?

    private static let few = 8

    public init() {}

    public subscript(name: String) -> JSONValue? { place(of: name).map { members[$0].value } }

    /// Takes the place of an earlier value of the name.
    public mutating func set(_ name: String, _ value: JSONValue) {
        guard !add(name, value), let place = place(of: name) else { return }
        members[place] = Member(name: name, value: value)
    }

    /// - Returns: false where the name is taken; nothing has changed then.
    mutating func add(_ name: String, _ value: JSONValue) -> Bool {
        guard place(of: name) == nil else { return false }
        places?[name] = members.count
        members.append(Member(name: name, value: value))
        if places == nil, members.count > Self.few {
            places = Dictionary(uniqueKeysWithValues: members.enumerated().map { ($1.name, $0) })
        }
        return true
    }

    private func place(of name: String) -> Int? {
        if let places { places[name] } else { members.firstIndex { $0.name == name } }
    }
}

/// The order of members means nothing.
extension JSONObject: Equatable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count && left.members.allSatisfy { right[$0.name] == $0.value }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// Of two values for one name the first counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (name, value) in elements { _ = add(name, value) }
    }
}
