import System

/// execd's command line.
struct Options: Hashable, Sendable {
    var port = 44772
    /// A file with the token that every request must carry; read once, at the start.
    var tokenFile: String?
    /// The longest line of output that is held until its line break, in bytes.
    var maxLine = TextAssembler.defaultLongestLine
    /// The descriptor for `EndReport`.
    var report: Int32?
    /// The control group that init and the API move to.
    var ownGroup = MemberFiles()
    /// The control group that the program and commands are in.
    var commandGroup = MemberFiles()
    /// The sandbox's program; empty to serve the API only.
    var entrypoint: [String] = []
    /// What only has to be printed.
    var answer: String?
    /// Whether this process serves the API; init starts itself again with this set.
    var serves = false

    /// Why a command line was refused.
    struct OptionError: Error, Hashable, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let usage =
        "usage: execd [--help] [--version] [--port PORT] [--token-file FILE] [--longest-line BYTES] [--report DESCRIPTOR] "
        + "[--own-group DESCRIPTORS] [--command-group DESCRIPTORS] [--serve] [-- PROGRAM ARGUMENT...]"

    /// The command line of the process that serves, without the program's name.
    var serving: [String] {
        ["--serve", "--port", String(port), "--longest-line", String(maxLine)]
            + (tokenFile.map { ["--token-file", $0] } ?? [])
            + (commandGroup.isEmpty ? [] : ["--command-group", commandGroup.passed.description])
    }

    static func parse(_ arguments: [String]) throws(OptionError) -> Options {
        var options = Options()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--port":
                guard let text = rest.popFirst(), let port = Int(text), (0...65535).contains(port) else {
                    throw OptionError("--port needs a number from 0 to 65535")
                }
                options.port = port
            case "--token-file":
                guard let path = rest.popFirst() else { throw OptionError("--token-file needs a path") }
                options.tokenFile = path
            case "--longest-line":
                guard let text = rest.popFirst(), let bytes = Int(text), TextAssembler.maxLines.contains(bytes)
                else {
                    let range = TextAssembler.maxLines
                    throw OptionError("--longest-line needs a number from \(range.lowerBound) to \(range.upperBound)")
                }
                options.maxLine = bytes
            case "--report":
                guard let text = rest.popFirst(), let number = Int32(text), (0...1023).contains(number) else {
                    throw OptionError("--report needs the number of a descriptor")
                }
                options.report = number
            case "--own-group", "--command-group":
                guard let files = rest.popFirst().flatMap(MemberFiles.init) else {
                    throw OptionError("\(argument) needs the numbers of descriptors: 3,4,5")
                }
                if argument == "--own-group" { options.ownGroup = files } else { options.commandGroup = files }
            case "--serve": options.serves = true
            case "--help", "-h": options.answer = usage + "\n"
            case "--version": options.answer = "execd \(Release.version)\n"
            case "--":
                options.entrypoint = Array(rest)
                guard !options.entrypoint.isEmpty else { throw OptionError("a program must follow --") }
                return options
            default: throw OptionError("unknown argument \(argument)")
            }
        }
        return options
    }
}
