import ArgumentParser
import ControlPlane
import ProgramSupport
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The program.
struct Sallyport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sallyport",
        abstract:
            "Sandboxes for code that a model wrote: what they may reach, who may reach them, with which credential.",
        version: "sallyport \(AllInOneServer.release)",
        subcommands: [
            Serve.self, GuardCommand.self, IngressCommand.self, TokenCommand.self, KeyCommand.self,
            InitConfig.self,
            SettingsCommand.self, VolumeCommand.self, SnapshotCommand.self,
            SandboxCommand.self, ImageCommand.self, PolicyCommand.self, StatusCommand.self, DoctorCommand.self,
            UninstallCommand.self,
            SupportBundleCommand.self,
            ProcessCommand.self, LogWriterCommand.self,
        ],
        defaultSubcommand: Serve.self)

    /// Without a command a server is served, so a misspelt one would be taken for an argument of that.
    /// - Returns: what to say of the first word of the command line; nil where it is a command or an option.
    static func refusal(of word: String?) -> String? {
        guard let word, !word.hasPrefix("-") else { return nil }
        let names = configuration.subcommands.flatMap { command in
            [command._commandName] + command.configuration.aliases
        }
        guard !(names + ["help"]).contains(word) else { return nil }
        let meant =
            SimilarName.misspelt(word, of: names).map { "did you mean \($0)?" } ?? "`sallyport --help` lists them"
        return "sallyport: there is no command \(word.prefix(80)); \(meant)\n"
    }
}

/// Where the program begins. Not asynchronous: a process gives up its rights, and a supervisor starts others, while there is one
/// thread, and that one has to stay until the process ends.
@main
enum Start {
    static func main() {
        TaskThreads.install()
        if let refusal = Sallyport.refusal(of: CommandLine.arguments.dropFirst().first) {
            Console.complain(refusal)
            exit(64)
        }
        do {
            var command = try Sallyport.parseAsRoot()
            guard let waiting = command as? any AsyncParsableCommand else { return try command.run() }
            nonisolated(unsafe) var asynchronous = waiting
            try MainThread.wait { try await asynchronous.run() }
        } catch { Sallyport.exit(withError: error) }
    }
}

/// What every long-running command takes.
struct CommonOptions: ParsableArguments {
    @Option(help: "The TOML configuration; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?

    @Option(help: "DEBUG, INFO, WARNING or ERROR.")
    var logLevel: String?

    @Option(help: "How log lines look: text or json.")
    var logFormat: String?

    @Option(help: "Folder of everything that is kept.")
    var stateDirectory: String?

    @Option(help: "Folder of the sockets.")
    var runDirectory: String?
}
