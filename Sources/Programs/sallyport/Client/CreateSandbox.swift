import ArgumentParser
import Client
import JSON
import ProgramSupport
import SafeText
import System

/// `sallyport sandbox create`
struct CreateSandbox: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a sandbox and print its id.",
        discussion: "Without --policy, --allow and --deny its network is what the server's configuration says.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "How long it lives: 10m, 1h, 7d, or none for ever.") var timeout = "10m"
    @Option(help: "Processors, such as 500m or 2.") var cpu: String?
    @Option(help: "Memory, such as 512Mi.") var memory: String?
    @Option(help: "Room for its files, such as 2Gi.") var disk: String?
    @Option(
        help: "What it may reach, such as pypi.org:443 or preset:pypi; all else is denied. More than once for more.")
    var allow: [String] = []
    @Option(help: "What it may not reach, in front of what is allowed; more than once for more.")
    var deny: [String] = []
    @Option(help: "A file with its policy as JSON; - for standard input.") var policy: String?
    @Option(help: "A variable, NAME=VALUE; more than once for more. Other users of the machine see it: see --env-file.")
    var env: [String] = []
    @Option(help: "A file with a variable on each line, NAME=VALUE.") var envFile: String?
    @Option(help: "A label, NAME=VALUE; more than once for more.") var label: [String] = []
    @Option(help: "Take one of this pool, which has an image and limits of its own.") var pool: String?
    @Option(help: "Make it from this snapshot instead of an image.") var snapshot: String?
    @Flag(help: "Do not wait until it runs.") var noWait = false
    @Option(name: .shortAndLong, help: "name for its id, json, or table.") var output = OutputForm.name
    @Argument(help: "The image; left out with --pool and --snapshot.") var image: String?
    @Argument(parsing: .postTerminator, help: "Its program and arguments, after --; else it waits.")
    var entrypoint: [String] = []

    private static let poll: Duration = .milliseconds(100)

    func run() async throws {
        try await connection.run { api in
            let body = try body()
            let (sandbox, id) = try await Progress.during("making a sandbox of \(image ?? snapshot ?? pool ?? "")") {
                guard var sandbox = try await api.ask("POST", "/v1/sandboxes", body), let id = Self.text(sandbox["id"])
                else {
                    throw ClientFailure(.notUnderstood, "the server made a sandbox without an id")
                }
                while !noWait, let state = Self.text(sandbox["status"]?["state"]), state == "Pending" {
                    try await Task.sleep(for: Self.poll)
                    sandbox = try await api.ask("GET", ServerAPI.path(id)) ?? sandbox
                }
                return (sandbox, id)
            }
            if Self.text(sandbox["status"]?["state"]) == "Failed" {
                throw ClientFailure(.refused, "\(id) has failed: \(Self.text(sandbox["status"]?["message"]) ?? "")")
            }
            switch output {
            case .name: Console.say(ForeignText.escaped(id) + "\n")
            case .json: ClientProgram.show(sandbox)
            case .table: Console.say(SandboxListing.details(sandbox))
            }
        }
    }

    private func body() throws -> JSONValue {
        let source: CreateBody.Source =
            switch (image, snapshot, pool) {
            case (let image?, nil, nil): .image(image)
            case (nil, let snapshot?, nil): .snapshot(snapshot)
            case (nil, nil, let pool?): .pool(pool)
            default: throw ClientFailure(.usage, "name one of an image, --snapshot and --pool")
            }
        var body = CreateBody(source, seconds: timeout == "none" ? nil : try SpanOption.seconds(timeout, "--timeout"))
        if pool == nil || !entrypoint.isEmpty { body.run(entrypoint) }
        try body.limit(cpu: cpu, memory: memory, disk: disk)
        try body.set("env", pairs: env + (try envFile.map(Self.variables) ?? []), option: "--env")
        try body.set("metadata", pairs: label, option: "--label")
        guard policy == nil || allow.isEmpty && deny.isEmpty else {
            throw ClientFailure(.usage, "give --policy, or --allow and --deny")
        }
        body.guarded(by: try policy.map(PolicyFile.json) ?? RuleWords.policy(allow: allow, deny: deny))
        return body.json
    }

    /// Empty lines and those that begin with `#` are passed over.
    private static func variables(_ path: String) throws(ClientFailure) -> [String] {
        guard let text = File.text(path) else { throw ClientFailure(.usage, "--env-file \(path) cannot be read") }
        return text.split(whereSeparator: \.isNewline).map(String.init).filter { !$0.hasPrefix("#") }
    }

    private static func text(_ value: JSONValue?) -> String? {
        if case .string(let text)? = value { text } else { nil }
    }
}
