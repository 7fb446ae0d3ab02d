import ArgumentParser
import ControlPlane
import Logging
import Observability
import ProgramSupport

/// `sallyport uninstall`
struct UninstallCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uninstall", abstract: "End all sandboxes, and remove what a server has left on this machine.",
        discussion: "Stop the server first. Without --yes it says what would go, and does nothing.")

    @OptionGroup var options: ServerOptions
    @Option(help: "Folder of the sockets.") var runDirectory: String?
    @Flag(help: "Remove what is kept, too: images, snapshots, volumes, keys, records.") var state = false
    @Flag(help: "Do it.") var yes = false

    func run() async throws {
        do {
            var settings = try options.settings()
            settings.local.runDirectory = runDirectory ?? settings.local.runDirectory
            let uninstallation = Uninstallation(settings, removesState: state)
            guard yes else {
                Console.say(
                    "This would remove\n" + uninstallation.plan.map { "  \($0)\n" }.joined() + "Add --yes to do it.\n")
                throw ExitCode(1)
            }
            try Program.requireRoot("uninstall removes namespaces, firewall rules and mounts")
            let metrics = Observability.bootstrap(level: .error)
            LongRunning.prepare()
            try await uninstallation.run(metrics: metrics, logger: Logger(label: "sallyport")) {
                Console.say("removed \($0)\n")
            }
        } catch { throw ClientProgram.failure(error) }
    }
}
