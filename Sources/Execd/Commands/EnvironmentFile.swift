import HTTPServer
import Spelling

/// The file that `EXECD_ENVS` names: `NAME=value` lines that clients append and that every command gets
/// (docs/wire.md#the-environment-file).
enum EnvironmentFile {
    /// The variables of a file's text; if a name occurs twice, the last counts; other lines are ignored.
    ///
    /// Values are bare, in single quotes (taken as they are), or in double quotes with `\\ \" \n \r \t` escapes.
    static func parse(_ text: String) -> [ExactName: String] {
        var variables: [ExactName: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            var line = line.drop { $0 == " " || $0 == "\t" }
            if line.hasPrefix("export ") { line = line.dropFirst(7) }
            // Search by scalars, because an equals sign with a combining mark is a different Character.
            guard !line.hasPrefix("#"), let equals = line.unicodeScalars.firstIndex(of: "=") else { continue }
            let name = line[..<equals]
            let text = value(Substring(line.unicodeScalars[equals...].dropFirst()))
            guard VariableName.isValid(name), !text.utf8.contains(0) else { continue }
            variables[ExactName(name)] = text
        }
        return variables
    }

    private static func value(_ text: Substring) -> String {
        guard let quote = text.first, quote == "'" || quote == "\"" else {
            return String(text.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
        }
        var value = ""
        var rest = text.dropFirst()
        while let character = rest.popFirst(), character != quote {
            guard character == "\\", quote == "\"", let escaped = rest.popFirst() else {
                value.append(character)
                continue
            }
            switch escaped {
            case "n": value.append("\n")
            case "r": value.append("\r")
            case "t": value.append("\t")
            case "\\", "\"", "$", "`": value.append(escaped)
            default: value += "\\" + String(escaped)
            }
        }
        return value
    }
}
