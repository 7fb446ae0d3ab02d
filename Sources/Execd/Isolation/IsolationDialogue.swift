import Spelling

/// The protocol of a session's shell, on a socket that is its standard input (`ShellDialogue` says why nobody else can speak on
/// it). Each line begins a run; the answers are lines `run NUMBER CODE` and, of those in the background, `background ID CODE`.
///
/// Code is run by a file that the shell reads in (`.`): an interrupt then leaves it by `return`, however deep it is in loops and
/// functions, and the shell stays with its variables. A shell without the trap would end.
enum IsolationDialogue {
    /// Far more bytes than any answer has.
    static let maxAnswer = 4096

    /// What the file has in it. The variable is gone before the code runs.
    static let runner = "eval \"unset __execd_code\n$__execd_code\"\n"

    /// Before the first run.
    static let opening = "trap 'return 130 2>/dev/null' INT\n"

    /// - Parameters:
    ///   - variables: what the shell is to have from now on.
    ///   - own: what it has during this run only.
    static func line(
        run number: UInt64, _ code: String, runner: String, variables: [ExactName: String], own: [ExactName: String],
        isBash: Bool
    ) -> String {
        let names = own.keys.map(\.text).sorted()
        let begin = names.map { keep($0, isBash) }.joined() + ShellDialogue.exports(own)
        let end = names.map { restore($0, isBash) }.joined()
        return
            "\(ShellDialogue.exports(variables))\(begin)__execd_code=\(ShellDialogue.quoted(code)); . \(runner) </dev/null; "
            + "__execd_status=$?; \(end)command printf 'run %d %d\\n' \(number) \"$__execd_status\" >&0\n"
    }

    /// A run in a shell of its own, with what the session's shell has at that moment.
    ///
    /// It has a process group of its own, where the shell can do that, so that interrupts of other runs pass it by. Its own code
    /// does not have the socket: the shell around it does.
    static func line(
        background id: String, run number: UInt64, _ code: String, runner: String, log: String, status: String,
        variables: [ExactName: String], own: [ExactName: String], isBash: Bool
    ) -> String {
        let log = ShellDialogue.quoted(log)
        let work =
            "(trap - INT; \(ShellDialogue.exports(own))__execd_code=\(ShellDialogue.quoted(code)); . \(runner)) "
            + ">>\(log) 2>&1 </dev/null 7>&-"
        let note =
            "__execd_status=$?; command printf '%d\\n' \"$__execd_status\" >\(ShellDialogue.quoted(status)); "
            + "command printf 'background %s %d\\n' \(id) \"$__execd_status\" >&7"
        let (begin, end) = isBash ? ("set -m; ", "set +m; ") : ("", "")
        return "\(ShellDialogue.exports(variables))\(begin){ \(work); \(note); } 7>&0 </dev/null >/dev/null 2>&1 & "
            + "\(end)command printf 'run %d 0\\n' \(number) >&0\n"
    }

    private static func keep(_ name: String, _ isBash: Bool) -> String {
        "__execd_had_\(name)=${\(name)+x}; __execd_old_\(name)=${\(name)-}; "
            + (isBash
                ? "case $(declare -p \(name) 2>/dev/null) in 'declare -'*x*' '*) __execd_out_\(name)=x;; "
                    + "*) __execd_out_\(name)=;; esac; " : "")
    }

    private static func restore(_ name: String, _ isBash: Bool) -> String {
        "if [ \"$__execd_had_\(name)\" ]; then \(name)=$__execd_old_\(name); else unset \(name); fi; "
            + (isBash ? "[ \"$__execd_out_\(name)\" ] || export -n \(name); unset __execd_out_\(name); " : "")
            + "unset __execd_had_\(name) __execd_old_\(name); "
    }

    enum Answer: Hashable {
        case run(UInt64, code: Int32)
        case background(String, code: Int32)
    }

    /// nil for anything else.
    static func answer(_ line: ArraySlice<UInt8>) -> Answer? {
        let words = String(decoding: line, as: UTF8.self).split(separator: " ")
        guard words.count == 3, let code = Int32(words[2]) else { return nil }
        switch words[0] {
        case "run": return UInt64(words[1]).map { .run($0, code: code) }
        case "background": return .background(String(words[1]), code: code)
        default: return nil
        }
    }
}
