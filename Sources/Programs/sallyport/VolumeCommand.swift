import ArgumentParser
import ControlPlane
import FoundationEssentials
import ProgramSupport
import SafeText

/// `sallyport volume`
struct VolumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "volume", abstract: "List, make and remove named volumes, whether a server runs or not.",
        subcommands: [ListVolumes.self, CreateVolume.self, RemoveVolume.self])
}

extension ServerOptions {
    fileprivate func run(_ body: (VolumeAdministration) throws -> Void) throws {
        do {
            try body(VolumeAdministration(try keptSettings()))
        } catch { throw ClientProgram.failure(error) }
    }
}

struct ListVolumes: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List them.", aliases: ["ls"])

    @OptionGroup var options: ServerOptions
    @Option(name: .shortAndLong, help: "table, json, or name for names alone.") var output = OutputForm.table

    func run() throws {
        try options.run { volumes in
            switch output {
            case .table: Console.show(volumes.table)
            case .json: ClientProgram.show(volumes.json)
            case .name: Console.say(volumes.names.map { ForeignText.escaped($0) + "\n" }.joined())
            }
        }
    }
}

struct CreateVolume: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Make one, empty or with files.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "What requests call it (pvc.claimName).") var name: String
    @Option(help: "How much it holds, such as 10Gi; storage.volume_default_size when it is left out.") var size: String?
    @Option(help: "A folder whose files it begins with.") var from: String?

    func run() throws {
        try options.run { try $0.create(name, size: size, from: from) }
    }
}

struct RemoveVolume: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove one that no sandbox uses, with its files.", aliases: ["rm"])

    @OptionGroup var options: ServerOptions
    @Argument(help: "Its name.") var name: String

    func run() throws {
        try options.run { try $0.remove(name) }
    }
}
