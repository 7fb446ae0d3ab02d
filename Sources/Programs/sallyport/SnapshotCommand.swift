import ArgumentParser
import Client
import ControlPlane
import FoundationEssentials
import JSON
import ProgramSupport
import SafeText

/// `sallyport snapshot`
struct SnapshotCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshot", abstract: "Take, list and delete snapshots of sandboxes, and push them to registries.",
        discussion:
            "A running server is asked, but by push and list --offline, which read the server's files on its own machine.",
        subcommands: [
            TakeSnapshot.self, ListSnapshots.self, GetSnapshot.self, DeleteSnapshots.self, PushSnapshot.self,
        ], aliases: ["snapshots"])
}

extension ServerAPI {
    fileprivate static func snapshot(_ id: String) -> String { "/v1/snapshots/" + escaped(id) }
}

struct TakeSnapshot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Take a snapshot of a sandbox's files, and print its id.",
        discussion: "sandbox create --snapshot makes sandboxes of it.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "What it is called.") var name: String?
    @Flag(help: "Do not wait until it is there.") var noWait = false
    @Option(name: .shortAndLong, help: "name for its id, json, or table.") var output = OutputForm.name
    @Argument(help: "The sandbox's id.") var sandbox: String

    private static let poll: Duration = .milliseconds(200)

    func run() async throws {
        try await connection.run { api in
            var body = JSONObject()
            if let name { body.set("name", .string(name)) }
            let path = ServerAPI.path(sandbox, "/snapshots")
            guard var snapshot = try await api.ask("POST", path, .object(body)),
                let id = SnapshotListing([snapshot]).ids.first, !id.isEmpty
            else { throw ClientFailure(.notUnderstood, "the server took a snapshot without an id") }
            let taken = snapshot
            snapshot = try await Progress.during("taking a snapshot of \(sandbox)", isWanted: !noWait) {
                var snapshot = taken
                while !noWait, snapshot["status"]?["state"] == .string("Creating") {
                    try await Task.sleep(for: Self.poll)
                    snapshot = try await api.ask("GET", ServerAPI.snapshot(id)) ?? snapshot
                }
                return snapshot
            }
            if snapshot["status"]?["state"] == .string("Failed") {
                var reason = ""
                if case .string(let message)? = snapshot["status"]?["message"] { reason = message }
                throw ClientFailure(.refused, "snapshot \(id) has failed: \(reason)")
            }
            switch output {
            case .name: Console.say(ForeignText.escaped(id) + "\n")
            case .json: ClientProgram.show(snapshot)
            case .table: Console.say(SnapshotListing.details(snapshot))
            }
        }
    }
}

struct ListSnapshots: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List them: the newest first, offline the oldest first.", aliases: ["ls"])

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only those of this sandbox.") var sandbox: String?
    @Option(name: .shortAndLong, help: "table, json, or name for ids alone.") var output = OutputForm.table
    @Flag(help: "Read the files of this machine's server, whether it runs or not.") var offline = false
    @Option(help: "With --offline: the folder of everything that the server keeps.") var stateDirectory: String?

    func validate() throws {
        guard !offline else {
            guard sandbox == nil else { throw ValidationError("--offline lists all snapshots: leave out --sandbox") }
            return
        }
        guard stateDirectory == nil else { throw ValidationError("--state-directory goes with --offline") }
    }

    func run() async throws {
        guard !offline else {
            return try await SnapshotCommand.offline(config: connection.config, stateDirectory) {
                show(try await $0.listed())
            }
        }
        try await connection.run { api in
            show(try await api.pages("/v1/snapshots", [("sandboxId", sandbox)]))
        }
    }

    private func show(_ found: [JSONValue]) {
        switch output {
        case .json: ClientProgram.show(.array(found))
        case .name: Console.say(SnapshotListing(found).ids.map { ForeignText.escaped($0) + "\n" }.joined())
        case .table: Console.show(SnapshotListing(found).table)
        }
    }
}

struct GetSnapshot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Show everything about one.")

    @OptionGroup var connection: ConnectionOptions
    @Option(name: .shortAndLong, help: "table, json, or name for its id.") var output = OutputForm.table
    @Argument(help: "Its id.") var id: String

    func run() async throws {
        try await connection.run { api in
            guard let snapshot = try await api.ask("GET", ServerAPI.snapshot(id)) else { return }
            switch output {
            case .json: ClientProgram.show(snapshot)
            case .name: Console.say(id + "\n")
            case .table: Console.say(SnapshotListing.details(snapshot))
            }
        }
    }
}

struct DeleteSnapshots: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete snapshots. Sandboxes that were made of them stay.", aliases: ["rm"])

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Their ids.") var ids: [String]

    func run() async throws {
        try await connection.eachOf(ids) { _ = try await $0.ask("DELETE", ServerAPI.snapshot($1)) }
    }
}

struct PushSnapshot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Push one to a registry, as an image of one layer, whether the server runs or not.")

    @OptionGroup var options: ServerOptions
    @Option(help: "A file with the registry's credentials, as `skopeo login --authfile` writes it.") var authfile:
        String?
    @Argument(help: "Its id, or its name.") var snapshot: String
    @Argument(help: "docker://registry/repository:tag") var destination: String

    func run() async throws {
        try await SnapshotCommand.offline(config: options.config, options.stateDirectory) { administration in
            let image = try await Progress.during("pushing \(snapshot)") {
                try await administration.push(snapshot, to: destination, credentials: authfile)
            }
            Console.say(image + "\n")
        }
    }
}

extension SnapshotCommand {
    /// What reads the server's files.
    fileprivate static func offline(
        config: String?, _ stateDirectory: String?, _ body: (SnapshotAdministration) async throws -> Void
    ) async throws {
        do {
            try await body(SnapshotAdministration(try ServerOptions.keptSettings(config, stateDirectory)))
        } catch { throw ClientProgram.failure(error) }
    }
}
