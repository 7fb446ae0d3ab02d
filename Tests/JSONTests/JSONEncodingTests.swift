import FoundationEssentials
import JSON
import Testing

@Suite struct JSONEncodingTests {
    private struct Inner: Codable, Equatable {
        var text: String?
        var numbers: [Int]
    }
    private enum Kind: String, Codable { case one, two }
    private struct Whole: Codable, Equatable {
        var z = true
        var a: Int8 = -128
        var big = UInt64.max
        var small = Int64.min
        var whole = 3.0
        var part = 0.1
        var tiny = 1e-7
        var kind = Kind.two
        var absent: String?
        var inner = Inner(text: "\"\\\u{8}\u{c}\n\r\t\u{1f}\u{7f}/é\u{2028}\u{1F600}", numbers: [1, 2, 3])
        var list: [Inner?] = [Inner(numbers: []), nil]
        var table = ["b": [1.5], "a": [], "ä": [2]]
        var none: [String: String] = [:]
    }
    private class Base: Encodable {
        var base = 1
    }
    private final class Derived: Base {
        enum Key: CodingKey { case own, nested, list }
        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode("x", forKey: .own)
            var nested = container.nestedContainer(keyedBy: Key.self, forKey: .nested)
            try nested.encodeNil(forKey: .own)
            var list = container.nestedUnkeyedContainer(forKey: .list)
            try list.encode(list.count)
            try list.encode(list.count)
            try super.encode(to: container.superEncoder())
        }
    }

    private func foundations(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private func ours(_ value: some Encodable) throws -> String {
        String(decoding: try JSONText.of(value), as: UTF8.self)
    }

    @Test func `a value is said as Foundation's encoder says it`() throws {
        #expect(try ours(Whole()) == foundations(Whole()))
        #expect(try ours(Derived()) == foundations(Derived()))
        #expect(try ours([Whole(), Whole()]) == foundations([Whole(), Whole()]))
        for number in [0, -0.0, 1e300, 123456789.125, 2.5e-308, 1e16] {
            #expect(try ours([number]) == foundations([number]))
        }
        for text in ["", "plain", "\0"] { #expect(try ours(text) == foundations(text)) }
        #expect(try ours(Int?.none) == "null")
    }

    @Test func `what is encoded is read again`() throws {
        #expect(try JSONValue(JSONText.of(Whole().inner)).decode(Inner.self) == Whole().inner)
    }

    @Test func `a number that JSON has not is a text`() throws {
        #expect(try ours([Double.infinity, -.infinity, .nan]) == #"["inf","-inf","nan"]"#)
    }
}
