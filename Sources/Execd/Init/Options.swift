import NIOCore
import Spelling
import System

/// execd's command line: flags with one dash or two, a value behind them or behind `=`, as the reference's are.
struct Options: Hashable, Sendable {
    var port = 44772
    /// The one address at which the API is served; nil for every one.
    var address: String?
    /// A socket that is bound to `port` already, by whoever made the sandbox; nil to bind one.
    var listener: CInt?
    /// A file with the token that every request must carry; read once, at the start.
    var tokenFile: String?
    /// The longest line of output that is held until its line break, in bytes.
    var maxLine = TextAssembler.defaultLongestLine
    /// 0 to 7, as `Settings.level` reads it; nil for the usual one.
    var logLevel: Int?
    /// The descriptor for `EndReport`.
    var report: Int32?
    /// The control group that init and the API move to.
    var ownGroup = MemberFiles()
    /// The control group that the program and commands are in.
    var commandGroup = MemberFiles()
    /// The file that init and the API share for `GatedStart`.
    var stateFile: CInt?
    /// Whether the program is not started before the gated start has been told.
    var isHeld = false
    /// The API's end of the pipe by which init says whether a held program has been started.
    var started: CInt?
    /// Where init writes how far the start has come.
    var statusFile: String?
    /// The sandbox's program; empty to serve the API only, or for a shell where `isInit`.
    var entrypoint: [String] = []
    /// Whom the program runs as, in the words of an image; nil for whom init runs as.
    var programUser: String?
    /// Whether this process is init even without a program.
    var isInit = false
    /// This program's file.
    var program = "/proc/self/exe"
    /// The folder of what isolated sessions change, where init may build them.
    var isolation: String?
    /// The descriptor of the socket by which sessions are asked for; of the process that serves.
    var builder: CInt?
    /// Which of its other parts this process is, if it is one.
    var part: Part?
    /// The sidecar that was there before anything of the sandbox ran.
    var sidecar = PolicySidecar()
    /// What only has to be printed.
    var answer: String?
    /// A file with variables that go over those of the environment, as the kernel writes them; read once, by init.
    var variablesFile: String?
    /// The descriptor that this process's variables are to be written to, and nothing else done.
    var variablesTo: CInt?
    /// Whether this process serves the API; init starts itself again with this set.
    var serves = false
    /// Variables that flags set: they go over those of the environment.
    var variables: [ExactName: String] = [:]

    enum Part: String, Hashable, Sendable {
        /// Starts the first processes of isolated sessions.
        case sessionStarter = "session-starter"
        /// Is the first process of one.
        case session
    }

    /// Why a command line was refused.
    struct OptionError: Error, Hashable, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let usage =
        "usage: execd [--help] [--version] [--port PORT] [--address ADDRESS] [--token-file FILE] [--variables-file FILE] [--access-token TOKEN] [--log-level 0-7] "
        + "[--longest-line BYTES] [--jupyter-host URL] [--jupyter-token TOKEN] [--isolation-config FILE] "
        + "[--graceful-shutdown-timeout DURATION] [--jupyter-idle-poll-interval DURATION] "
        + "[--context-idle-timeout DURATION] [--runtime-init] "
        + "[--lifecycle-startup-status-file FILE] [--report DESCRIPTOR] [--own-group DESCRIPTORS] "
        + "[--command-group DESCRIPTORS] [--state DESCRIPTOR] [--listener DESCRIPTOR] [--isolation FOLDER] [--program-user USER] "
        + "[--held] [--serve] [--init] "
        + "[-- PROGRAM ARGUMENT...]"

    /// The command line of the process that serves, without the program's name. What flags set for it is in its environment.
    var serving: [String] {
        var words = ["--serve", "--port", String(port), "--longest-line", String(maxLine)]
        if let address { words += ["--address", address] }
        if let logLevel { words += ["--log-level", String(logLevel)] }
        if let tokenFile { words += ["--token-file", tokenFile] }
        let passed = commandGroup.passed
        if !passed.isEmpty { words += ["--command-group", passed.description] }
        if stateFile != nil { words += ["--state", String(3 + passed.descriptors.count)] }
        if started != nil { words += ["--started", String(4 + passed.descriptors.count)] }
        if listener != nil {
            let before = [stateFile, started].count { $0 != nil }
            words += ["--listener", String(3 + passed.descriptors.count + before)]
        }
        if let isolation { words += ["--isolation", isolation] }
        if !sidecar.sockets.isEmpty { words += ["--sidecar", sidecar.words] }
        return words
    }

    /// Under the name of the reference's script, whatever follows is the sandbox's program. The script may be this program under
    /// another name, or a file whose first line is `#!` and this program's path: the kernel then puts the file's path behind ours.
    private static let scriptName = "bootstrap.sh"

    /// - Parameter arguments: with the program's name in front.
    static func parse(program arguments: [String]) throws(OptionError) -> Options {
        let isScript = { (path: String) in !path.hasPrefix("-") && path.split(separator: "/").last ?? "" == scriptName }
        guard let script = arguments.prefix(2).firstIndex(where: isScript)
        else { return try parse(Array(arguments.dropFirst())) }
        var options = Options()
        options.isInit = true
        options.entrypoint = Array(arguments[(script + 1)...])
        return options
    }

    static func parse(_ arguments: [String]) throws(OptionError) -> Options {
        var options = Options()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                options.entrypoint = Array(rest)
                guard !options.entrypoint.isEmpty || options.isInit else {
                    throw OptionError("a program must follow --")
                }
                return options
            }
            guard argument.hasPrefix("-"), let flag = Flag(argument) else {
                throw OptionError("unknown argument \(argument.prefix(80))" + Flag.hint(argument))
            }
            try flag.name.isSwitch
                ? options.set(flag.name, isOn: flag.value) : options.set(flag.name, flag.value ?? rest.popFirst())
        }
        return options
    }

    private mutating func set(_ name: FlagName, isOn text: String?) throws(OptionError) {
        guard let isOn = text.map(Truth.init(_:)) ?? .yes else {
            throw OptionError("--\(name.rawValue) must be true or false")
        }
        guard isOn == .yes else { return }
        switch name {
        case .serve: serves = true
        case .initialise: isInit = true
        case .gated: variables[Setting.gatedStart.name] = "1"
        case .held:
            (isHeld, isInit) = (true, true)
            variables[Setting.gatedStart.name] = "1"
        case .help, .shortHelp: answer = Self.usage + "\n"
        default: answer = "execd \(Release.version)\n"
        }
    }

    private mutating func set(_ name: FlagName, _ value: String?) throws(OptionError) {
        guard let value else { throw OptionError("--\(name.rawValue) needs \(name.wants)") }
        func number<Number: FixedWidthInteger>(_ range: ClosedRange<Number>) throws(OptionError) -> Number {
            guard let number = Number(value), range.contains(number) else {
                throw OptionError("--\(name.rawValue) needs \(name.wants)")
            }
            return number
        }
        switch name {
        case .port: port = try number(0...65535)
        case .address:
            // Not a name: in a static executable to look one up would load the C library's name services.
            guard (try? SocketAddress(ipAddress: value, port: 0)) != nil else {
                throw OptionError("--address needs \(name.wants)")
            }
            address = value
        case .tokenFile: tokenFile = value
        case .longestLine: maxLine = try number(TextAssembler.maxLines)
        case .logLevel: logLevel = try number(0...7)
        case .report: report = try number(0...1023)
        case .state: stateFile = try number(3...1023)
        case .variablesTo: variablesTo = try number(3...1023)
        case .variablesFile: variablesFile = value
        case .statusFile: statusFile = value
        case .programUser:
            guard !value.isEmpty else { throw OptionError("--program-user needs \(name.wants)") }
            programUser = value
        case .sidecar:
            guard let found = PolicySidecar(words: value) else { throw OptionError("--sidecar needs \(name.wants)") }
            sidecar = found
        case .builder: builder = try number(3...1023)
        case .started: started = try number(3...1023)
        case .listener: listener = try number(3...1023)
        case .isolationFolder:
            guard value.hasPrefix("/") else { throw OptionError("--isolation needs an absolute path") }
            isolation = value
        case .part:
            guard let known = Part(rawValue: value) else { throw OptionError("--part needs \(name.wants)") }
            part = known
        case .ownGroup, .commandGroup:
            guard let files = MemberFiles(value) else { throw OptionError("--\(name.rawValue) needs \(name.wants)") }
            if name == .ownGroup { ownGroup = files } else { commandGroup = files }
        default:
            guard let setting = name.setting else { return }
            variables[setting.name] = value
        }
    }
}
