extension JSONValue {
    /// The value as a JSON text.
    public var encoded: [UInt8] {
        var text: [UInt8] = []
        write(to: &text)
        return text
    }

    private func write(to text: inout [UInt8]) {
        switch self {
        case .null: text += "null".utf8
        case .boolean(let flag): text += (flag ? "true" : "false").utf8
        case .integer(let number): text += String(number).utf8
        // JSON cannot express infinity or NaN; parsing never yields them.
        case .number(let number): text += (number.isFinite ? "\(number)" : "null").utf8
        case .string(let string): JSONText.append(quoted: string, to: &text)
        case .array(let entries):
            text.append(UInt8(ascii: "["))
            for (index, entry) in entries.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                entry.write(to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let object):
            text.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                JSONText.append(quoted: member.name, to: &text)
                text.append(UInt8(ascii: ":"))
                member.value.write(to: &text)
            }
            text.append(UInt8(ascii: "}"))
        }
    }
}

/// JSON string literals (RFC 8259, section 7), for texts that are assembled by hand.
public enum JSONText {
    public static func quoted(_ string: String) -> String {
        var text: [UInt8] = []
        append(quoted: string, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    public static func append(quoted string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 8: text += #"\b"#.utf8
            case 9: text += #"\t"#.utf8
            case 10: text += #"\n"#.utf8
            case 12: text += #"\f"#.utf8
            case 13: text += #"\r"#.utf8
            case 0..<0x20: text += ((byte < 16 ? "\\u000" : "\\u00") + String(byte, radix: 16)).utf8
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
