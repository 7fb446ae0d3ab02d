import ArgumentParser
import Client
import ControlPlane
import FoundationEssentials
import ProgramSupport
import SafeText

/// Where `policy check` and `policy presets` find what a policy may name.
struct PresetOptions: ParsableArguments {
    @Option(help: "The TOML configuration, for its folders of presets; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?
    @Option(help: "A folder of presets of your own, in the place of the configured one.")
    var ownPresets: String?

    func settings() throws -> Settings {
        var settings = try Settings.load(path: config, environment: ProcessInfo.processInfo.environment)
        settings.egress.ownPresets = ownPresets ?? settings.egress.ownPresets
        return settings
    }
}

/// `sallyport policy presets`
struct ListPresets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets",
        abstract: "List the presets that policies may name, with what they open, without a server.")

    @OptionGroup var options: PresetOptions
    @Option(name: .shortAndLong, help: "table for people, or json.") var output = AnswerForm.table
    @Argument(help: "One of them; else all.") var name: String?

    func run() throws {
        do {
            let presets = try KnownPresets(options.settings())
            switch output {
            case .table: Console.say(try presets.lines(of: name).map { ForeignText.escaped($0) + "\n" }.joined())
            case .json: ClientProgram.show(try presets.json(of: name))
            }
        } catch let error as KnownPresets.Unknown {
            throw ClientProgram.failure(ClientFailure(.notFound, "\(error)"))
        } catch { throw ClientProgram.failure(error) }
    }
}
