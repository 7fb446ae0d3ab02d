import ArgumentParser
import ControlPlane
import FoundationEssentials
import ProgramSupport

/// `sallyport snapshot`
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", abstract: "List snapshots and push them to registries, whether a server runs or not.",
        subcommands: [ListSnapshots.self, PushSnapshot.self])
}

extension ServerOptions {
    fileprivate func run(_ body: (SnapshotAdministration) async throws -> Void) async throws {
        do {
            try await body(SnapshotAdministration(try settings()))
        } catch { throw Program.failure(error) }
    }
}

struct ListSnapshots: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List them.", aliases: ["ls"])

    @OptionGroup var options: ServerOptions

    func run() async throws {
        try await options.run { Console.say(try await $0.table().joined(separator: "\n") + "\n") }
    }
}

struct PushSnapshot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push", abstract: "Push one to a registry, as an image of one layer.")

    @OptionGroup var options: ServerOptions
    @Option(help: "A file with the registry's credentials, as `skopeo login --authfile` writes it.") var authfile:
        String?
    @Argument(help: "Its id, or its name.") var snapshot: String
    @Argument(help: "docker://registry/repository:tag") var destination: String

    func run() async throws {
        try await options.run { administration in
            let image = try await administration.push(snapshot, to: destination, credentials: authfile)
            Console.say(image + "\n")
        }
    }
}
