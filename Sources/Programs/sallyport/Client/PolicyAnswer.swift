import JSON
import ProgramSupport
import SafeText

/// Answers about a sandbox's policy, for people. What a reader must not miss is said on standard error, beside JSON for programs.
enum PolicyAnswer {
    private static let observed = "nothing is enforced: the sandbox is observed"

    /// Prints the policy of a status.
    static func show(_ status: JSONValue?) {
        ClientProgram.show(status?["policy"])
        if status?["mode"] == .string("observing") { Console.complain(observed + "\n") }
    }

    /// The verdict, what the traffic passes, and hints.
    static func explanation(of target: String, _ answer: JSONValue?) -> String {
        let text = answer?["text"].flatMap(string) ?? ""
        let isOnlyWatched = answer?["enforced"] == .boolean(false)
        var lines = ["\(target): \(text)" + (isOnlyWatched ? ", but it is not enforced" : "")]
        for step in array(answer?["path"]) {
            guard let name = step["step"].flatMap(string), let text = step["text"].flatMap(string) else { continue }
            lines.append("  \(name): \(text)")
        }
        lines += array(answer?["hints"]).compactMap(string).map { "hint: \($0)" }
        return lines.map { ForeignText.escaped($0) + "\n" }.joined()
    }

    /// Lines about a suggestion.
    static func remarks(on suggestion: JSONValue?) -> [String] {
        let unused = array(suggestion?["unused"]).compactMap(string)
        var lines: [String] = []
        if !unused.isEmpty { lines.append("not seen to be used: \(unused.joined(separator: ", "))\n") }
        if suggestion?["incomplete"] == .boolean(true) {
            lines.append(
                "the sandbox may have used more than this: it used more than is kept, or than a policy may have\n")
        }
        if suggestion?["enforced"] == .boolean(false) { lines.append(observed + "\n") }
        return lines
    }

    private static func string(_ value: JSONValue) -> String? {
        if case .string(let text) = value { text } else { nil }
    }

    private static func array(_ value: JSONValue?) -> [JSONValue] {
        if case .array(let values)? = value { values } else { [] }
    }
}
