import JSON
import Spelling

/// What a driver says on its control channel, a line at a time. No code that it runs prints there.
enum DriverMessage: Hashable, Sendable {
    /// Bytes: room for the largest result beside its escapes.
    static let maxLine = 8 << 20

    /// It takes runs from now on. What it printed before is not a run's.
    case ready
    case event(run: UInt64, KernelEvent)
    /// The run is through, and all it printed has been printed.
    case ended(run: UInt64)
}

/// How to start the process that runs a language's code, and to speak with it.
protocol DriverDialogue: Sendable {
    /// Programs and their arguments; the first that is there is taken.
    var commands: [[String]] { get }
    /// Variables that the process gets beside those of commands.
    var variables: [ExactName: String] { get }
    /// What to send first.
    var greeting: String { get }
    /// - Parameter variables: those that have changed in the environment file.
    func begin(_ run: UInt64, _ code: String, variables: [ExactName: String]) -> String
    /// What a line means; nil for what makes no sense, which is ignored.
    func message(_ line: ArraySlice<UInt8>) -> [DriverMessage]
}

/// The Python driver's side: objects of JSON.
struct PythonDialogue: DriverDialogue {
    let commands = ["python3", "python"].map { [$0, "-c", PythonDriver.script] }
    let variables: [ExactName: String] = [:]
    let greeting = ""

    func begin(_ run: UInt64, _ code: String, variables: [ExactName: String]) -> String {
        var text = JSONObject()
        text.set("run", .integer(Int(truncatingIfNeeded: run)))
        text.set("code", .string(code))
        var changed = JSONObject()
        for (name, value) in variables { changed.set(name.text, .string(value)) }
        text.set("variables", .object(changed))
        return String(decoding: JSONValue.object(text).encoded, as: UTF8.self) + "\n"
    }

    func message(_ line: ArraySlice<UInt8>) -> [DriverMessage] {
        guard let value = try? JSONValue(line, levels: 16) else { return [] }
        if value["ready"] != nil { return [.ready] }
        guard case .integer(let number)? = value["run"], let run = UInt64(exactly: number) else { return [] }
        var messages: [DriverMessage] = []
        if case .integer(let count)? = value["count"] { messages.append(.event(run: run, .count(count))) }
        if case .object(let data)? = value["data"] { messages.append(.event(run: run, .result(ResultBundle(data)))) }
        if case .object(let error)? = value["error"] {
            messages.append(.event(run: run, .failed(CodeFailure(kernelError: error))))
        }
        if value["ended"] == .boolean(true) { messages.append(.ended(run: run)) }
        return messages
    }
}

extension CodeFailure {
    /// - Parameter error: `ename`, `evalue` and `traceback`, as Jupyter's kernels say them.
    init(kernelError error: JSONObject) {
        func text(_ name: String) -> String { if case .string(let text)? = error[name] { text } else { "" } }
        var lines: [String] = []
        if case .array(let entries)? = error["traceback"] {
            lines = entries.compactMap { if case .string(let line) = $0 { line } else { nil } }
        }
        self.init(text("ename"), text("evalue"), traceback: lines)
    }
}

/// A shell's side: the protocol of sessions (`ShellDialogue`), in an interactive bash, which a SIGINT brings back to its next
/// line with all its state. What asks for the answer is that next line.
struct ShellCodeDialogue: DriverDialogue {
    let shell: String

    private var isBash: Bool { shell.hasSuffix("/bash") }
    var commands: [[String]] { [[shell] + (isBash ? ["--norc", "--noprofile", "--noediting", "-i"] : [])] }
    // No prompts, and no history that is written when it ends.
    let variables: [ExactName: String] = ["PS1": "", "PS2": "", "PROMPT_COMMAND": "", "HISTFILE": "/dev/null"]
    var greeting: String {
        (isBash ? "set +o history; " : "") + "unset PROMPT_COMMAND HISTFILE; PS1=; PS2=\n" + Self.answer(0)
    }

    private static func answer(_ run: UInt64) -> String { #"command printf '%d %d\n' \#(run) "$?" >&0"# + "\n" }

    func begin(_ run: UInt64, _ code: String, variables: [ExactName: String]) -> String {
        let exports = ShellDialogue.exports(variables)
        return "\(exports)eval \(ShellDialogue.quoted(code)) </dev/null\n" + Self.answer(run)
    }

    func message(_ line: ArraySlice<UInt8>) -> [DriverMessage] {
        guard let (run, code) = ShellDialogue.answer(line) else { return [] }
        guard run > 0 else { return [.ready] }
        var messages: [DriverMessage] = [.event(run: run, .count(Int(truncatingIfNeeded: run)))]
        switch code {
        case 0: break
        case 130: messages.append(.event(run: run, .failed(.interrupted)))
        default: messages.append(.event(run: run, .failed(CodeFailure("CommandExecError", "exit status \(code)"))))
        }
        return messages + [.ended(run: run)]
    }
}
