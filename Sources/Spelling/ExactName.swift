/// A name that somebody else chose: of a variable, a file, a member of an object. Two are equal only if their bytes are.
///
/// Swift's String takes spellings of the same text for equal: "é" as one scalar or as two, K and the Kelvin sign. A
/// dictionary with String keys would keep one of two such names. The kernel, shells and other parsers compare bytes.
package struct ExactName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package init(_ text: some StringProtocol) { self.text = String(text) }

    package var description: String { text }

    package static func == (left: ExactName, right: ExactName) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    /// In the order of the bytes, so that a folder comes before what is in it.
    package static func < (left: ExactName, right: ExactName) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
        // A byte that UTF-8 does not have ends the name.
        hasher.combine(0xff as UInt8)
    }
}

extension ExactName: ExpressibleByStringLiteral {
    package init(stringLiteral text: String) { self.text = text }
}

/// A dictionary with these keys is an object in JSON. Read one with the module JSON: Foundation's coders keep members by
/// String.
extension ExactName: Codable, CodingKeyRepresentable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    package var codingKey: any CodingKey { Key(stringValue: text) }

    package init(codingKey: some CodingKey) { text = codingKey.stringValue }

    package init(from decoder: any Decoder) throws { text = try decoder.singleValueContainer().decode(String.self) }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
