import SafeText
import Testing

@Suite struct ForeignTextTests {
    @Test(arguments: [
        ("plain text, ~", "plain text, ~"), ("größe 漢 🙂", "größe 漢 🙂"), ("", ""),
        ("a\nb\r\nc\td", #"a\nb\r\nc\td"#), ("\u{1b}[31mred\u{7}", #"\u{1b}[31mred\u{7}"#),
        ("a\u{202e}b\u{2066}c\u{200f}", #"a\u{202e}b\u{2066}c\u{200f}"#),
        ("\u{85}\u{2028}\u{2029}", #"\u{85}\u{2028}\u{2029}"#),
        ("\u{0}\u{7f}\u{9b}", #"\u{0}\u{7f}\u{9b}"#), ("\u{feff}\u{200b}\u{e0041}", #"\u{feff}\u{200b}\u{e0041}"#),
        ("e\u{301}\n\u{301}", "e\u{301}\\n\u{301}"),
    ])
    func `what leads a reader or a terminal astray stands there in letters`(_ text: String, _ escaped: String) {
        #expect(ForeignText.escaped(text).unicodeScalars.elementsEqual(escaped.unicodeScalars))
    }

    @Test func `whatever it was, it is one line without control characters`() {
        for _ in 0..<2000 {
            let scalars = (0..<20).compactMap { _ in
                Unicode.Scalar(UInt32.random(in: Bool.random() ? 0...0x2fff : 0...0x10ffff))
            }
            let escaped = ForeignText.escaped(String(String.UnicodeScalarView(scalars)))
            for scalar in escaped.unicodeScalars {
                let category = scalar.properties.generalCategory
                #expect(![.control, .format, .lineSeparator, .paragraphSeparator].contains(category))
            }
        }
    }

    @Test func `a text that is too long is cut`() {
        #expect(ForeignText.escaped("abc", limit: 3) == "abc" && ForeignText.escaped("abcd", limit: 3) == "abc…")
        #expect(ForeignText.escaped("\n\n\n", limit: 2) == #"\n\n…"# && ForeignText.escaped("漢漢", limit: 2) == "漢漢")
    }

    @Test func `lines stay lines`() {
        #expect(ForeignText.escapedLines("a\n\u{1b}b\r\nc\n") == ["a", #"\u{1b}b"#, "c", ""])
    }
}
