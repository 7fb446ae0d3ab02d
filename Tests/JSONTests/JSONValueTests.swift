import Spelling
import Testing

@testable import JSON

private func read(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(text.utf8) }

@Suite struct JSONValueTests {
    @Test func `every kind of value is read`() throws {
        let value = try read(#" {"a":[null,true,-5,1.5,2e1,"x\u00e9\ud83d\ude00\n"],"b":{}} "#)
        let list: [JSONValue] = [.null, .boolean(true), .integer(-5), .number(1.5), .number(20), .string("xé😀\n")]
        #expect(value == .object(["b": .object([:]), "a": .array(list)]))
        #expect(value["a"] == .array(list) && value["c"] == nil && JSONValue.null["a"] == nil)
    }

    @Test(arguments: [
        "", " ", "{", "[1,", "[1,]", "{\"a\":1,}", "{\"a\":}", "{\"a\" 1}", "{a:1}", "{'a':1}", "nul", "NaN",
        "Infinity",
        "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\n\"", "01", "1.", ".5", "1e", "+1", "--1", "0x1", "\u{0}",
        "1 2",
        "[] []", "\u{FEFF}[]", "// x\n[]", "[1 2]", "{\"a\":1 \"b\":2}", "}", "]",
    ]) func `what is no JSON is refused`(_ text: String) {
        #expect(throws: JSONError.self) { try read(text) }
    }

    @Test(arguments: [#"{"a":1,"a":1}"#, #"{"a":1,"\u0061":2}"#]) func `a name that stands twice is refused`(
        _ text: String
    ) {
        #expect(throws: JSONError.self) { try read(text) }
    }

    @Test func `a name that stands twice among thousands is refused, too`() {
        let names = (0..<5000).map { "\"n\($0)\":0" }
        #expect(throws: Never.self) { try read("{\(names.joined(separator: ","))}") }
        #expect(throws: JSONError.self) { try read("{\((names + ["\"n77\":0"]).joined(separator: ","))}") }
    }

    @Test(arguments: [0, 20]) func `two spellings of one text are two names`(_ others: Int) throws {
        let rest = (0..<others).map { ",\"n\($0)\":0" }.joined()
        let value = try read(#"{"\u00e9":1,"e\u0301":2,"K":3,"\u212a":4\#(rest)}"#)
        #expect(value["\u{e9}"] == .integer(1) && value["e\u{301}"] == .integer(2))
        #expect(value["K"] == .integer(3) && value["\u{212a}"] == .integer(4))
        let decoded: [ExactName: Int] = try value.decode()
        #expect(decoded["K"] == 3 && decoded["\u{212a}"] == 4 && decoded.count == 4 + others)
        #expect(throws: JSONError.self) { try read(#"{"\u00e9":1,"é":2\#(rest)}"#) }
    }

    @Test func `other encodings than UTF-8 are refused`() {
        for bytes: [UInt8] in [[0xff, 0xfe, 0x5b, 0, 0x5d, 0], [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22]] {
            #expect(throws: JSONError.self) { try JSONValue(bytes) }
        }
    }

    /// Every number that a client may write ends as an integer that fits, as a finite one, or as an error: never as a trap.
    @Test(arguments: [
        ("9223372036854775807", JSONValue.integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)), ("1e308", .number(1e308)), ("1e-999", .number(0)),
        ("-0", .integer(0)), ("1e309", nil), ("-1e99999", nil), (String(repeating: "9", count: 400), nil),
        (String(repeating: "9", count: 100_000), nil), ("0." + String(repeating: "1", count: 100_000), nil),
    ]) func `numbers are whole, finite, or refused`(_ text: String, _ value: JSONValue?) {
        #expect((try? read(text)) == value)
    }

    @Test func `as many levels as are allowed are read, and not one more, however many there are`() throws {
        func nested(_ count: Int) -> String {
            String(repeating: "[", count: count) + "0" + String(repeating: "]", count: count)
        }
        #expect(throws: Never.self) { try read(nested(JSONValue.maxLevels)) }
        for count in [JSONValue.maxLevels + 1, 500, 5_000_000] {
            #expect(throws: JSONError.self) { try read(nested(count)) }
            #expect(throws: JSONError.self) { try read(String(repeating: "[", count: count)) }
            #expect(throws: JSONError.self) { try read(String(repeating: "{\"a\":", count: count)) }
        }
        #expect(throws: JSONError.self) { try JSONValue(nested(3).utf8, levels: 2) }
    }

    /// Counted, not timed: the work for a text twice as long is twice as much. It was the cube of it.
    @Test func `a megabyte of small nestings is read at once`() throws {
        let piece = String(repeating: "[", count: 60) + String(repeating: "]", count: 60)
        let value = try read("[" + Array(repeating: piece, count: 10_000).joined(separator: ",") + "]")
        guard case .array(let entries) = value else { return #expect(Bool(false)) }
        #expect(entries.count == 10_000)
    }

    @Test func `what is written is read again, whatever is in it`() throws {
        let strings = ["", "\"", "\\", "\u{0}\u{1f}", "é\u{2028}😀", "\r\n\t"]
        let value = JSONValue.object([
            "list": .array(strings.map { .string($0) }), "\"": .number(0.1), "i": .integer(.min), "n": .null,
            "b": .boolean(false), "big": .number(1e300), "empty": .array([]),
        ])
        #expect(try JSONValue(value.encoded) == value)
        for string in strings { #expect(try read(JSONText.quoted(string)) == .string(string)) }
    }
}
