import ArgumentParser
import Client
import ControlPlane
import HTTPClient
import JSON
import NetworkPolicy
import ProgramSupport
import SafeText

/// `sallyport policy`
struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "See, change and check what sandboxes may reach.",
        subcommands: [
            GetPolicy.self, SetPolicy.self, PatchPolicy.self, ExplainPolicy.self, SuggestPolicy.self, WatchPolicy.self,
            CheckPolicy.self, ListPresets.self,
        ])
}

struct GetPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Print a sandbox's policy as JSON.")

    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Print all that holds, in the order in which it decides: the operator's lists, too.") var effective =
        false
    @OptionGroup var form: AnswerOptions
    @Argument(help: "The sandbox's id.") var id: String

    func validate() throws {
        guard effective || !form.json else {
            throw ValidationError("a policy is printed as JSON anyway: leave --json out")
        }
    }

    func run() async throws {
        try await connection.run {
            guard effective else {
                return PolicyAnswer.show(try await $0.ask("GET", ServerAPI.path(id, "/networkpolicy")))
            }
            let answer = try await $0.ask("GET", ServerAPI.path(id, "/networkpolicy/effective"))
            guard !form.isJSON else { return ClientProgram.show(answer) }
            Console.say(EffectivePolicyText.lines(answer ?? .null).map { $0 + "\n" }.joined())
        }
    }
}

struct SetPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set", abstract: "Replace a sandbox's policy.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The sandbox's id.") var id: String
    @Argument(help: "A file with the policy as JSON; - for standard input.") var file: String

    func run() async throws {
        try await connection.run {
            PolicyAnswer.show(
                try await $0.ask("PUT", ServerAPI.path(id, "/networkpolicy"), try PolicyFile.json(file)))
        }
    }
}

struct PatchPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patch", abstract: "Add rules in front of a sandbox's own, or remove rules.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "What it may reach from now on; more than once for more.") var allow: [String] = []
    @Option(help: "What it may not reach from now on; more than once for more.") var deny: [String] = []
    @Option(help: "The target of a rule to remove; more than once for more.") var remove: [String] = []
    @Argument(help: "The sandbox's id.") var id: String

    func run() async throws {
        try await connection.run { api in
            let path = ServerAPI.path(id, "/networkpolicy")
            guard !allow.isEmpty || !deny.isEmpty || !remove.isEmpty else {
                throw ClientFailure(.usage, "say what changes: --allow, --deny or --remove")
            }
            var answer: JSONValue?
            if !remove.isEmpty { answer = try await api.ask("DELETE", path, .array(remove.map { .string($0) })) }
            if !allow.isEmpty || !deny.isEmpty {
                answer = try await api.ask("PATCH", path, RuleWords.rules(allow: allow, deny: deny))
            }
            PolicyAnswer.show(answer)
        }
    }
}

struct ExplainPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say what would happen to some traffic of a sandbox now, and why.",
        discussion: "The exit status is 0 where it would pass now, 1 where the policy or a step of its path denies it.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "A port, or a range such as 8000-8999.") var port: String?
    @Option(name: .customLong("protocol"), help: "tcp, udp or icmp.") var transport: String?
    @OptionGroup var form: AnswerOptions
    @Argument(help: "The sandbox's id.") var id: String
    @Argument(help: "A name or an address.") var target: String

    func run() async throws {
        try await connection.run { api in
            let query = ServerAPI.query([("target", target), ("port", port), ("protocol", transport)])
            let answer = try await api.ask("GET", ServerAPI.path(id, "/networkpolicy/explain") + query)
            if form.isJSON {
                ClientProgram.show(answer)
            } else {
                Console.say(PolicyAnswer.explanation(of: target, answer))
            }
            guard ExplainedTraffic.passes(answer) else { throw ExitCode(1) }
        }
    }
}

struct SuggestPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "suggest",
        abstract: "Print a sandbox's policy with what else it was seen to use, as JSON for policy set.",
        discussion: "What of the policy was not used is said on standard error.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The sandbox's id.") var id: String

    func run() async throws {
        try await connection.run { api in
            let answer = try await api.ask("GET", ServerAPI.path(id, "/networkpolicy/suggestion"))
            ClientProgram.show(answer)
            PolicyAnswer.remarks(on: answer).forEach(Console.complain)
        }
    }
}

struct WatchPolicy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Print a sandbox's decisions as they are made, a line of JSON each.")

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The sandbox's id.") var id: String

    func run() async throws {
        try await connection.run { api in
            let events = ClientRequest("GET", ServerAPI.path(id, "/networkpolicy/events"))
            var lines = try await api.stream(events).lines
            while let line = try await lines.next() {
                guard line.starts(with: "data:".utf8) else { continue }
                let text = String(decoding: line.dropFirst(5), as: UTF8.self)
                Console.say(ForeignText.escaped(String(text.drop { $0 == " " })) + "\n")
            }
        }
    }
}

struct CheckPolicy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Read a policy as a server would, without one, and ask it questions.",
        discussion: "With --target the exit status is 0 where all are allowed, 1 where one is denied.")

    @OptionGroup var presets: PresetOptions
    @Option(help: "A name or an address, with or without a port: pypi.org:443. More than once for more.")
    var target: [String] = []
    @Argument(help: "A file with the policy as JSON; - for standard input.") var file: String

    func run() throws {
        do {
            let checked = try CheckedPolicy(PolicyFile.bytes(file), presets.settings())
            guard !target.isEmpty else { return Console.say(checked.summary) }
            let answers = try target.map { try checked.verdict(on: $0) }
            Console.say(answers.map { $0.text + "\n" }.joined())
            guard answers.allSatisfy(\.isAllowed) else { throw ExitCode(1) }
        } catch { throw ClientProgram.failure(error) }
    }
}
