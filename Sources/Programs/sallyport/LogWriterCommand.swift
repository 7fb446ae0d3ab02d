import ArgumentParser
import Observability

/// `sallyport log-writer`: the process that writes a server's log file, which the server starts.
struct LogWriterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log-writer", abstract: "Write a server's log file.", shouldDisplay: false)

    @Argument var arguments: [String] = []

    func run() throws {
        guard let settings = LogFileSettings(arguments: arguments) else {
            throw ValidationError("this command is for servers, which start it")
        }
        do { try LogWriter.run(settings) } catch { throw Program.failure(error) }
    }
}
