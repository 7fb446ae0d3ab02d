import ArgumentParser
import ControlPlane
import FoundationEssentials
import ProgramSupport

/// `sallyport doctor`
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at this machine for what would keep a server from running, and say what to do.",
        discussion:
            "It needs no server and changes nothing. The exit status is 0 where a server could run, 1 where not.")

    @Option(help: "The TOML configuration; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?
    @OptionGroup var form: AnswerOptions

    func run() async throws {
        let checkup = await ServerCheckup(path: config, environment: ProcessInfo.processInfo.environment)
        if form.isJSON { Console.say(checkup.json + "\n") } else { Console.show(checkup.table) }
        guard checkup.isFit else { throw ExitCode(1) }
    }
}
