import Spelling

/// The protocol of a session's control channel, which is the shell's standard input. The shell gets one line for each
/// run and answers, after all output, with the run's number and exit code.
///
/// The command is evaluated with /dev/null for input. Programs have no descriptor of the channel, because the shell keeps its copy
/// above 9 with close-on-exec, so nothing that they print is taken for the answer. Only the command's own shell code can name that
/// copy (`>&10`), and make up the end of its own run: a session has one client and one shell, and nobody else's run has its number.
enum ShellDialogue {
    /// Far more bytes than any answer has.
    static let maxAnswer = 4096

    /// - Parameters: the folder to change to, and variables that were changed outside the shell. A shell can only
    ///   export names that its language allows; others are set when the next shell starts.
    static func line(run number: UInt64, _ command: String, folder: String?, variables: [ExactName: String]) -> String {
        let change = folder.map { "command cd -- \(quoted($0)) >/dev/null && " } ?? ""
        let answer = #"command printf '%d %d\n' \#(number) "$?" >&0"#
        return "\(exports(variables))\(change)eval \(quoted(command)) </dev/null; \(answer)\n"
    }

    /// Commands that export variables, for those names that a shell allows.
    static func exports(_ variables: [ExactName: String]) -> String {
        variables.filter { isIdentifier($0.key.text) }.sorted { $0.key < $1.key }
            .map { "export \($0.key)=\(quoted($0.value)); " }.joined()
    }

    static func isIdentifier(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
            return false
        }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
            default: false
            }
        }
    }

    /// Quotes any text as one word for any shell. By bytes, because a quote with a combining mark is a different
    /// Character.
    static func quoted(_ text: String) -> String {
        let escaped = text.utf8.flatMap { $0 == UInt8(ascii: "'") ? Array(#"'\''"#.utf8) : [$0] }
        return "'" + String(decoding: escaped, as: UTF8.self) + "'"
    }

    /// The number and exit code of an answer; nil for anything else.
    static func answer(_ line: ArraySlice<UInt8>) -> (run: UInt64, code: Int32)? {
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard words.count == 2, let run = UInt64(words[0]), let code = Int32(words[1]) else { return nil }
        return (run, code)
    }
}
