import Spelling

/// A JSON text (RFC 8259) as a tree. Only texts that every parser reads alike are accepted.
///
/// A text must not mean one thing to whoever checks it on the way and another thing here. So everything on which
/// parsers differ is refused: duplicate names in an object, trailing commas, a byte order mark, encodings other than
/// UTF-8, numbers that fit no machine type. Reading takes linear time, whatever the text.
public enum JSONValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    /// A number without fraction and exponent that fits an `Int`.
    case integer(Int)
    /// Any other number. Always finite when it was parsed.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// Default limit of nesting. Real requests have fewer than ten levels.
    public static let maxLevels = 64

    /// - Throws: `JSONError` with the position of the first wrong byte.
    public init(_ text: some Collection<UInt8>, levels: Int = maxLevels) throws(JSONError) {
        var reader = JSONReader(bytes: Array(text), maxLevels: levels)
        self = try reader.value(level: 0)
        try reader.end()
    }

    /// Whether it is `null`, which counts as absent.
    public var isNull: Bool { if case .null = self { true } else { false } }

    /// A member of an object; nil if it is missing or this is not an object.
    public subscript(name: String) -> JSONValue? {
        if case .object(let object) = self { object[name] } else { nil }
    }
}

/// Why a text was not accepted as JSON.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    /// The offset of the first wrong byte.
    public let position: Int

    public var description: String { "\(reason), at byte \(position)" }
}

/// The members of an object in their order in the text. Names are unique: no two have the same bytes.
public struct JSONObject: Sendable {
    public struct Member: Equatable, Sendable {
        public let name: String
        public let value: JSONValue
    }

    public private(set) var members: [Member] = []
    /// The index of each name; nil for small objects, where a linear search is faster.
    private var places: [ExactName: Int]?

    private static let few = 8

    public init() {}

    public subscript(name: String) -> JSONValue? { place(of: name).map { members[$0].value } }

    /// Replaces an earlier value of the name.
    public mutating func set(_ name: String, _ value: JSONValue) {
        guard !add(name, value), let place = place(of: name) else { return }
        members[place] = Member(name: name, value: value)
    }

    /// - Returns: false if the name exists already; then nothing is changed.
    mutating func add(_ name: String, _ value: JSONValue) -> Bool {
        guard place(of: name) == nil else { return false }
        places?[ExactName(name)] = members.count
        members.append(Member(name: name, value: value))
        if places == nil, members.count > Self.few {
            places = Dictionary(uniqueKeysWithValues: members.enumerated().map { (ExactName($1.name), $0) })
        }
        return true
    }

    private func place(of name: String) -> Int? {
        if let places { places[ExactName(name)] } else { members.firstIndex { ExactName($0.name) == ExactName(name) } }
    }
}

/// Objects are equal whatever the order of their members.
extension JSONObject: Equatable {
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count && left.members.allSatisfy { right[$0.name] == $0.value }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    /// If a name is given twice, the first value counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (name, value) in elements { _ = add(name, value) }
    }
}
