import HTTPServer
import Spelling

/// The body of `POST /command` (docs/wire.md#commands).
struct CommandRequest: Decodable, Hashable, Sendable {
    var command: String?
    var argv: [String]?
    var cwd: String?
    var background: Bool?
    /// Milliseconds; 0 or absent is no limit.
    var timeout: Int64?
    var uid: UInt32?
    var gid: UInt32?
    var envs: [ExactName: String]?
    /// The start of its standard input. Without this and the next it has none.
    var stdin: String?
    /// Whether its input goes on after `stdin`, by `POST /command/{id}/stdin`.
    var stdin_open: Bool?

    /// The longest `stdin`, in bytes: it is kept until the command reads it.
    static let maxInput = 1 << 20

    var hasInput: Bool { stdin != nil || stdin_open == true }

    static func decode(_ body: [UInt8]) throws(RequestBodyError) -> CommandRequest {
        let request = try RequestBody.decode(CommandRequest.self, from: body)
        try request.validate()
        return request
    }

    private func validate() throws(RequestBodyError) {
        switch (command, argv) {
        case (nil, nil): throw RequestBodyError("command or argv is required")
        case (.some, .some): throw RequestBodyError("give command or argv, not both")
        case (let command?, nil):
            guard command.contains(where: { !$0.isWhitespace }) else { throw RequestBodyError("command is empty") }
        case (nil, let argv?):
            guard let program = argv.first, !program.isEmpty else { throw RequestBodyError("argv is empty") }
        }
        guard (stdin ?? "").utf8.count <= Self.maxInput else {
            throw RequestBodyError(
                "stdin is longer than \(Self.maxInput) bytes: set stdin_open, and send it to /command/{id}/stdin")
        }
        try Self.checkIdentity(uid, gid)
        try TimeLimit.check(timeout)
        try Self.checkTexts(envs: envs, [command, cwd].compactMap { $0 } + (argv ?? []))
    }

    static func checkIdentity(_ uid: UInt32?, _ gid: UInt32?) throws(RequestBodyError) {
        guard gid == nil || uid != nil else { throw RequestBodyError("gid needs uid") }
        // The kernel takes the largest number to mean "leave unchanged": the command would run as root.
        guard uid != .max, gid != .max else {
            throw RequestBodyError("uid and gid must be numbers below \(UInt32.max)")
        }
    }

    /// What a process is given: variables, and other texts.
    static func checkTexts(envs: [ExactName: String]?, _ texts: [String]) throws(RequestBodyError) {
        for name in (envs ?? [:]).keys.map(\.text) where !VariableName.isValid(name) {
            throw RequestBodyError("envs: \"\(name.prefix(80))\" is not a name for a variable")
        }
        guard !(texts + (envs.map { Array($0.values) } ?? [])).contains(where: { $0.utf8.contains(0) }) else {
            throw RequestBodyError("a NUL byte cannot be passed to a process")
        }
    }

    /// What to start.
    func spec(in environment: CommandEnvironment) -> ProcessSpec {
        ProcessSpec(
            arguments: argv ?? [environment.shell, "-c", command ?? ""],
            environment: environment.current(with: envs), directory: cwd, user: uid,
            group: gid ?? uid, joins: environment.group.descriptors)
    }

    /// The command as text, for status answers.
    var content: String { command ?? (argv ?? []).joined(separator: " ") }
}

/// Checks a client's time limit in milliseconds; 0 is no limit.
enum TimeLimit {
    /// Ten years. Longer limits are probably mistakes, and do not fit clocks in nanoseconds.
    private static let maxMilliseconds: Int64 = 315_360_000_000

    static func check(_ milliseconds: Int64?) throws(RequestBodyError) {
        guard let milliseconds else { return }
        guard milliseconds >= 0 else { throw RequestBodyError("timeout is negative") }
        guard milliseconds <= maxMilliseconds else {
            throw RequestBodyError("timeout is above \(maxMilliseconds) ms: use 0 for no limit")
        }
    }
}
