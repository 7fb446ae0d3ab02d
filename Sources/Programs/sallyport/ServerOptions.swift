import ArgumentParser
import ControlPlane
import FoundationEssentials

/// Which server a command is about: its configuration, and where it keeps what it keeps.
struct ServerOptions: ParsableArguments {
    @Option(help: "The TOML configuration; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?

    @Option(help: "Folder of everything that the server keeps.")
    var stateDirectory: String?

    func settings() throws -> Settings {
        var settings = try Settings.load(path: config, environment: ProcessInfo.processInfo.environment)
        settings.local.stateDirectory = stateDirectory ?? settings.local.stateDirectory
        return settings
    }
}
