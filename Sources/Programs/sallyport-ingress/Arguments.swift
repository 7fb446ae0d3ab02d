/// Accepts arguments like the reference gateway: one dash or two, and `=true` or `=false` after a switch.
enum Arguments {
    static func normalized(_ arguments: [String], switches: Set<String>) -> [String] {
        arguments.compactMap { argument in
            var text = argument
            if text.hasPrefix("-"), !text.hasPrefix("--"), text.count > 2 { text = "-" + text }
            guard text.hasPrefix("--"), let sign = text.firstIndex(of: "=") else { return text }
            let name = String(text[..<sign])
            guard switches.contains(name) else { return text }
            switch text[text.index(after: sign)...] {
            case "true", "1", "t", "T", "TRUE", "True": return name
            case "false", "0", "f", "F", "FALSE", "False": return nil
            default: return text
            }
        }
    }
}
