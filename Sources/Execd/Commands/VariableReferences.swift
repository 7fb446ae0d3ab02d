import Spelling

/// Replaces `$NAME` and `${NAME}` in texts of clients, as a shell would, and nothing else.
enum VariableReferences {
    /// - Returns: the text; what is not set is empty, and a dollar that names nothing stays.
    static func expand(_ text: String, _ variables: [ExactName: String]) -> String {
        var expanded: [UInt8] = [], rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "$") else {
                expanded.append(byte)
                continue
            }
            let isBraced = rest.first == UInt8(ascii: "{")
            let name = rest.dropFirst(isBraced ? 1 : 0).prefix { isOfName($0) }
            let behind = rest[name.endIndex...]
            guard !name.isEmpty, !isBraced || behind.first == UInt8(ascii: "}") else {
                expanded.append(byte)
                continue
            }
            expanded += Array((variables[ExactName(String(decoding: name, as: UTF8.self))] ?? "").utf8)
            rest = behind.dropFirst(isBraced ? 1 : 0)
        }
        return String(decoding: expanded, as: UTF8.self)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
