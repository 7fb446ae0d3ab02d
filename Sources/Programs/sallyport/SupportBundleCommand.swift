import ArgumentParser
import ControlPlane
import FoundationEssentials
import ProgramSupport

/// `sallyport support-bundle`
struct SupportBundleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "support-bundle",
        abstract: "Write an archive with what a helper needs to know of a server, without secrets.")

    @OptionGroup var options: ServerOptions
    @Option(help: "The archive to write; it must not exist yet.") var output = "sallyport-support.tar.gz"
    @Option(help: "A further log file of the server's; may be given more than once.") var log: [String] = []

    func run() async throws {
        do {
            let bundle = try SupportBundle(
                path: options.config, environment: ProcessInfo.processInfo.environment,
                stateDirectory: options.stateDirectory)
            try await bundle.write(to: output, logs: log)
        } catch { throw Program.failure(error) }
        Console.say("\(output)\n")
    }
}
