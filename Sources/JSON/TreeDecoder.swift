import Spelling

/// Decodes any `Decodable` type from a JSON tree. Each instance is for one value and records which of its names were
/// read; the others are unknown to the type.
final class TreeDecoder: Decoder {
    let value: JSONValue
    let codingPath: [any CodingKey]
    let userInfo: [CodingUserInfoKey: Any] = [:]
    let unknown: UnknownNames
    private var asked: Set<String> = []
    /// Whether the type accepts any name, as dictionaries do.
    private var takesAnyName = false

    init(_ value: JSONValue, at path: [any CodingKey], unknown: UnknownNames) {
        self.value = value
        codingPath = path
        self.unknown = unknown
    }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let decoded = try Value(from: self)
        if case .object(let object) = value, !asked.isEmpty, !takesAnyName {
            for member in object.members where !asked.contains(member.name) { try judge(member.name) }
        }
        return decoded
    }

    private func judge(_ name: String) throws {
        let meant: String?
        switch unknown {
        case .tolerated: return
        case .refusedWhereMisspelt:
            meant = SimilarName.misspelt(name, of: asked)
            if meant == nil { return }
        case .refused: meant = SimilarName.nearest(to: name, among: asked)
        }
        let hint = meant.map { "did you mean \($0)?" } ?? "use " + asked.sorted().joined(separator: ", ")
        let path = codingPath + [TreeKey(String(name.prefix(64)))]
        throw DecodingError.dataCorrupted(.init(codingPath: path, debugDescription: "it is unknown; \(hint)"))
    }

    func noteAsked(_ name: String) { asked.insert(name) }
    func noteAllAsked() { takesAnyName = true }

    func mismatch(_ type: Any.Type) -> DecodingError {
        .typeMismatch(type, .init(codingPath: codingPath, debugDescription: "it has the wrong type"))
    }

    // MARK: Decoder

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard case .object(let object) = value else { throw mismatch([String: JSONValue].self) }
        return KeyedDecodingContainer(ObjectReader(decoder: self, object: object))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard case .array(let entries) = value else { throw mismatch([JSONValue].self) }
        return ArrayReader(decoder: self, entries: entries)
    }

    func singleValueContainer() throws -> any SingleValueDecodingContainer { ScalarReader(decoder: self) }

    // MARK: Scalars

    func boolean() throws -> Bool {
        guard case .boolean(let flag) = value else { throw mismatch(Bool.self) }
        return flag
    }

    func string() throws -> String {
        guard case .string(let text) = value else { throw mismatch(String.self) }
        return text
    }

    func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        let number: Number? =
            switch value {
            case .integer(let number): Number(exactly: number)
            case .number(let number): Number(exactly: number)
            default: throw mismatch(type)
            }
        guard let number else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: codingPath, debugDescription: "it is not an integer of this size"))
        }
        return number
    }

    func number() throws -> Double {
        switch value {
        case .integer(let number): return Double(number)
        case .number(let number): return number
        default: throw mismatch(Double.self)
        }
    }
}

/// The name of a member, or the index of an entry.
struct TreeKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init(_ place: Int) { (stringValue, intValue) = (String(place), place) }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(intValue) }
}
