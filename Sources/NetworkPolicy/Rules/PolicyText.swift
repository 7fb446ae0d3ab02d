extension Policy {
    /// The policy as JSON, targets as they were written. By hand: a general encoder takes a second for a hundred thousand
    /// rules, and a policy is written at every change.
    public func encodedJSON() -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(64 + 64 * ruleCount)
        text += "{\"defaultAction\":\"\(defaultAction.rawValue)\",\"egress\":".utf8
        Self.append(list.numbered.lazy.map(\.rule), to: &text)
        if mode != .enforce { text += ",\"mode\":\"\(mode.rawValue)\"".utf8 }
        text.append(UInt8(ascii: "}"))
        return text
    }

    /// Rules as the body of PATCH /policy has them.
    public static func encodeRules(_ rules: [Rule]) -> [UInt8] {
        var text: [UInt8] = []
        append(rules, to: &text)
        return text
    }

    private static func append(_ rules: some Sequence<Rule>, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "["))
        var isFirst = true
        for rule in rules {
            if !isFirst { text.append(UInt8(ascii: ",")) }
            isFirst = false
            // A field that nobody sent is not sent back: older clients know two fields only.
            text += rule.action == .allow ? "{\"action\":\"allow\"".utf8 : "{\"action\":\"deny\"".utf8
            if !rule.scope.ports.isEmpty {
                let ports = rule.scope.ports.map {
                    $0.count == 1 ? "\($0.lowerBound)" : "\"\(TrafficScope.text($0))\""
                }
                text += ",\"ports\":[\(ports.joined(separator: ","))]".utf8
            }
            if let transport = rule.scope.transport { text += ",\"protocol\":\"\(transport.rawValue)\"".utf8 }
            text += ",\"target\":".utf8
            append(quoted: rule.text, to: &text)
            text.append(UInt8(ascii: "}"))
        }
        text.append(UInt8(ascii: "]"))
    }

    /// A string literal (RFC 8259, section 7).
    private static func append(quoted string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 0..<0x20: text += ((byte < 16 ? "\\u000" : "\\u00") + String(byte, radix: 16)).utf8
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
