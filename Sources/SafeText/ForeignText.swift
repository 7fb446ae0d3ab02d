/// Text from outside: from a sandbox, a client, an image or a peer.
package enum ForeignText {
    /// The text on one line, with everything escaped that could mislead a terminal, a browser or a reader: line breaks,
    /// escape sequences and other control characters, marks that change the writing direction, and other invisible
    /// characters become `
    /// `, `\r`, `\t` or `\u{1b}`.
    /// - Parameter limit: how many Unicode scalars are kept; `…` is added if there are more.
    package static func escaped(_ text: String, limit: Int = .max) -> String {
        guard text.utf8.count > limit || !text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) else { return text }
        var escaped = ""
        for (count, scalar) in text.unicodeScalars.enumerated() {
            guard count < limit else { return escaped + "…" }
            switch scalar {
            case "\n": escaped += #"\n"#
            case "\r": escaped += #"\r"#
            case "\t": escaped += #"\t"#
            case _ where isUnseen(scalar): escaped += #"\u{\#(String(scalar.value, radix: 16))}"#
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// The same for each line of a text.
    package static func escapedLines(_ text: String) -> [String] {
        text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }.map { escaped(String($0)) }
    }

    private static func isUnseen(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
