import ArgumentParser
import ControlPlane
import Client
import FoundationEssentials
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Which server a command is about: its configuration, and where it keeps what it keeps.
struct ServerOptions: ParsableArguments {
    @Option(help: "The TOML configuration; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?

    @Option(help: "Folder of everything that the server keeps.")
    var stateDirectory: String?

    func settings() throws -> Settings { try Self.settings(config, stateDirectory) }

    static func settings(_ config: String?, _ stateDirectory: String?) throws -> Settings {
        var settings = try Settings.load(path: config, environment: ProcessInfo.processInfo.environment)
        settings.local.stateDirectory = stateDirectory ?? settings.local.stateDirectory
        return settings
    }

    /// The same for a command that reads what the server keeps, or adds to it: a user who may not would see nothing, which is no
    /// answer, or be told of a file that is not there.
    func keptSettings() throws -> Settings { try Self.keptSettings(config, stateDirectory) }

    static func keptSettings(_ config: String?, _ stateDirectory: String?) throws -> Settings {
        let settings = try settings(config, stateDirectory), folder = settings.local.stateDirectory
        guard geteuid() != 0 else { return settings }
        var status = stat()
        let isThere = stat(folder, &status) == 0
        if isThere && status.st_uid == geteuid() { return settings }
        if !isThere, errno == ENOENT, access(parent(of: folder), W_OK) == 0 { return settings }
        throw ClientFailure(
            .forbidden,
            "\(folder) is \(isThere ? "another user's" : "in a folder of another user's"), and so is what the server keeps there: "
                + "run this as root, or name another by --state-directory")
    }

    private static func parent(of folder: String) -> String {
        let parent = folder.split(separator: "/").dropLast().joined(separator: "/")
        return folder.hasPrefix("/") ? "/" + parent : parent.isEmpty ? "." : parent
    }
}
