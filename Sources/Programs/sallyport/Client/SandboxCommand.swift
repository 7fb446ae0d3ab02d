import ArgumentParser
import Client
import ControlPlane
import JSON
import ProgramSupport
import SafeText

/// `sallyport sandbox`
struct SandboxCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox", abstract: "List, make, use and end sandboxes of a running server.",
        subcommands: [
            ListSandboxes.self, GetSandbox.self, CreateSandbox.self, KillSandboxes.self, PauseSandboxes.self,
            ResumeSandboxes.self, RenewSandbox.self, SandboxLogs.self, SandboxEvents.self, ExecuteCommand.self,
            ShellCommand.self,
            CopyFile.self,
        ], aliases: ["sandboxes", "sb"])
}

struct ListSandboxes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List them, the newest first.", aliases: ["ls"])

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only those in this state, such as Running; more than once for several.") var state: [String] = []
    @Option(help: "Only those with this label, NAME=VALUE; more than once for all of several.") var label: [String] = []
    @Option(name: .shortAndLong, help: "table, json, or name for ids alone.") var output = OutputForm.table

    func run() async throws {
        try await connection.run { api in
            let found = try await api.sandboxes(states: state, labels: label)
            switch output {
            case .json: ClientProgram.show(.array(found))
            case .name:
                let ids = SandboxListing(found, moment: ClientProgram.moment).ids
                Console.say(ids.map { ForeignText.escaped($0) + "\n" }.joined())
            case .table:
                Console.show(SandboxListing(found, moment: ClientProgram.moment).table(now: Timestamp.now().seconds))
            }
        }
    }
}

struct GetSandbox: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Show everything about one.")

    @OptionGroup var connection: ConnectionOptions
    @Option(name: .shortAndLong, help: "table, json, or name for its id.") var output = OutputForm.table
    @Argument(help: "Its id.") var id: String

    func run() async throws {
        try await connection.run { api in
            guard let sandbox = try await api.ask("GET", ServerAPI.path(id)) else { return }
            switch output {
            case .json: ClientProgram.show(sandbox)
            case .name: Console.say(id + "\n")
            case .table: Console.say(SandboxListing.details(sandbox))
            }
        }
    }
}

struct KillSandboxes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "End sandboxes, and delete their files.", aliases: ["delete", "rm"])

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Their ids.") var ids: [String]

    func run() async throws {
        try await connection.eachOf(ids) { _ = try await $0.ask("DELETE", ServerAPI.path($1)) }
    }
}

struct PauseSandboxes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Pause everything that runs in sandboxes.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Their ids.") var ids: [String]

    func run() async throws {
        try await connection.eachOf(ids) { _ = try await $0.ask("POST", ServerAPI.path($1, "/pause")) }
    }
}

struct ResumeSandboxes: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Resume paused sandboxes.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Their ids.") var ids: [String]

    func run() async throws {
        try await connection.eachOf(ids) { _ = try await $0.ask("POST", ServerAPI.path($1, "/resume")) }
    }
}

struct RenewSandbox: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "renew", abstract: "Extend the life of a sandbox.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Its id.") var id: String
    @Argument(help: "How long from now on: 90s, 10m, 1h, 7d.") var span: String

    func run() async throws {
        try await connection.run { api in
            let end = Timestamp.now().adding(seconds: try SpanOption.seconds(span, "the duration"))
            let answer = try await api.ask(
                "POST", ServerAPI.path(id, "/renew-expiration"), .object(["expiresAt": .string("\(end)")]))
            if case .string(let moment)? = answer?["expiresAt"] { Console.say(ForeignText.escaped(moment) + "\n") }
        }
    }
}

struct SandboxLogs: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Print what a sandbox's own program has printed.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only this many of the last lines.") var tail: Int?
    @Option(help: "Only what was printed within this time: 90s, 10m, 1h, 7d.") var since: String?
    @Argument(help: "Its id.") var id: String

    func run() async throws {
        try await connection.told(id, "logs", [("tail", tail.map(String.init)), ("since", since)])
    }
}

struct SandboxEvents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events", abstract: "Print the states of a sandbox so far, with their reasons.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "Only this many of the last ones.") var limit: Int?
    @Option(help: "Only those within this time: 90s, 10m, 1h, 7d.") var since: String?
    @Option(name: .shortAndLong, help: "table for people, or json.") var output = AnswerForm.table
    @Argument(help: "Its id.") var id: String

    func run() async throws {
        let query: [(name: String, value: String?)] = [("limit", limit.map(String.init)), ("since", since)]
        switch output {
        case .table: try await connection.told(id, "events", query)
        case .json:
            try await connection.run {
                // With a scope the answer is JSON.
                let path = ServerAPI.path(id, "/diagnostics/events") + ServerAPI.query(query + [("scope", "lifecycle")])
                ClientProgram.show(try await $0.ask("GET", path))
            }
        }
    }
}

/// Spans of time on a command line.
enum SpanOption {
    static func seconds(_ text: String, _ what: String) throws(ClientFailure) -> Int {
        guard let seconds = DurationText.seconds(text) else {
            throw ClientFailure(.usage, "\(what) \"\(text.prefix(40))\": write 90s, 10m, 1h or 7d")
        }
        return seconds
    }
}

extension ConnectionOptions {
    /// Does the same to each, tells what failed, and goes on.
    func eachOf(_ ids: [String], _ body: (ServerAPI, String) async throws -> Void) async throws {
        try await run { api in
            var last: (any Error)?
            for id in ids {
                do {
                    try await body(api, id)
                    Console.say(id + "\n")
                } catch { last = ClientProgram.failure(error) }
            }
            if let last { throw last }
        }
    }

    /// Prints one of the diagnostics, which are texts for people.
    fileprivate func told(_ id: String, _ what: String, _ query: [(name: String, value: String?)]) async throws {
        try await run { api in
            let text = try await api.text(
                "GET", ServerAPI.path(id, "/diagnostics/\(what)") + ServerAPI.query(query))
            let shown = String(decoding: text, as: UTF8.self)
            Console.say(shown.isEmpty || shown.hasSuffix("\n") ? shown : shown + "\n")
        }
    }
}
