import ArgumentParser
import ControlPlane

/// The program.
@main
struct Sallyport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sallyport",
        abstract:
            "Sandboxes for code that a model wrote: what they may reach, who may reach them, with which credential.",
        version: "sallyport \(Appliance.release)",
        subcommands: [
            Serve.self, EgressCommand.self, IngressCommand.self, TokenCommand.self, InitConfig.self,
            SettingsCommand.self,
        ],
        defaultSubcommand: Serve.self)
}

/// What every long-running command takes.
struct CommonOptions: ParsableArguments {
    @Option(help: "The TOML configuration; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?

    @Option(help: "DEBUG, INFO, WARNING or ERROR.")
    var logLevel: String?

    @Option(help: "How log lines look: text or json.")
    var logFormat = "text"

    @Option(help: "Folder of everything that is kept.")
    var stateDirectory: String?

    @Option(help: "Folder of the sockets, readable by root only.")
    var runDirectory: String?
}
