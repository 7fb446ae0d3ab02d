/// Encodes values as JSON texts, the members of objects by their names' bytes and absent ones left out. It says what Foundation's
/// encoder says of texts, numbers and dates of ours, in a fraction of its size: static programs carry all of it.
extension JSONText {
    /// - Throws: what a value's own `encode(to:)` throws.
    public static func of(_ value: some Encodable) throws -> [UInt8] {
        let node = EncodedNode()
        try value.encode(to: TreeEncoder(node, at: []))
        var text: [UInt8] = []
        node.write(to: &text)
        return text
    }
}

/// A value that is being encoded: containers may be filled in any order.
final class EncodedNode {
    private enum Content {
        case nothing
        /// A text of JSON.
        case text([UInt8])
        case object([(name: String, node: EncodedNode)])
        case array([EncodedNode])
    }

    private var content = Content.nothing

    func set(_ text: String) { content = .text(Array(text.utf8)) }

    func set(quoted string: String) {
        var text: [UInt8] = []
        JSONText.append(quoted: string, to: &text)
        content = .text(text)
    }

    /// JSON has no infinity: it is said as a text.
    func set(_ number: some BinaryFloatingPoint & LosslessStringConvertible) {
        guard number.isFinite else { return set(quoted: number.isNaN ? "nan" : number < 0 ? "-inf" : "inf") }
        let text = number.description
        set(text.hasSuffix(".0") ? String(text.dropLast(2)) : text)
    }

    func beginObject() { if case .nothing = content { content = .object([]) } }
    func beginArray() { if case .nothing = content { content = .array([]) } }

    var count: Int { if case .array(let entries) = content { entries.count } else { 0 } }

    func member(_ name: String) -> EncodedNode {
        let node = EncodedNode()
        if case .object(var members) = content {
            content = .nothing
            members.append((name, node))
            content = .object(members)
        }
        return node
    }

    func entry() -> EncodedNode {
        let node = EncodedNode()
        if case .array(var entries) = content {
            content = .nothing
            entries.append(node)
            content = .array(entries)
        }
        return node
    }

    func write(to text: inout [UInt8]) {
        switch content {
        case .nothing: text += "{}".utf8
        case .text(let bytes): text += bytes
        case .object(let members):
            text.append(UInt8(ascii: "{"))
            let sorted = members.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
            for (index, member) in sorted.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                JSONText.append(quoted: member.name, to: &text)
                text.append(UInt8(ascii: ":"))
                member.node.write(to: &text)
            }
            text.append(UInt8(ascii: "}"))
        case .array(let entries):
            text.append(UInt8(ascii: "["))
            for (index, entry) in entries.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                entry.write(to: &text)
            }
            text.append(UInt8(ascii: "]"))
        }
    }
}

struct TreeEncoder: Encoder {
    let node: EncodedNode
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    init(_ node: EncodedNode, at path: [any CodingKey]) { (self.node, codingPath) = (node, path) }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.beginObject()
        return KeyedEncodingContainer(ObjectWriter(node: node, codingPath: codingPath))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.beginArray()
        return ArrayWriter(node: node, codingPath: codingPath)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer { ScalarWriter(node: node, codingPath: codingPath) }
}
