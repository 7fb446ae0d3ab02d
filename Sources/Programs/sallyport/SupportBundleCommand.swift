import ArgumentParser
import ControlPlane
import FoundationEssentials
import ProgramSupport

/// `sallyport support-bundle`
struct SupportBundleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "support-bundle",
        abstract: "Write what somebody who helps wants to see of a server into an archive, without secrets.")

    @OptionGroup var options: ServerOptions
    @Option(help: "The archive, which must not be there yet.") var output = "sallyport-support.tar.gz"
    @Option(help: "A log file of the server's, beside log.file_path; may be given more than once.") var log: [String] =
        []

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
