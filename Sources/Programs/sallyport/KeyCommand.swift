import ArgumentParser
import Client
import ControlPlane
import JSON
import ProgramSupport
import SafeText

/// `sallyport key`
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Make, list, rotate and revoke API keys; servers notice without a restart.",
        subcommands: [CreateKey.self, ListKeys.self, RotateKey.self, RevokeKey.self])
}

extension ServerOptions {
    fileprivate func run(_ body: (APIKeyFile) throws -> Void) throws {
        do { try body(APIKeyFile(try keptSettings())) } catch { throw ClientProgram.failure(error) }
    }
}

extension APIKeyFile {
    /// Whose keys they were is easily mistaken: a server may have another state folder.
    fileprivate func sayChanged() { Console.complain("changed: \(path)\n") }
}

extension KeyScope: ExpressibleByArgument {}

/// `sallyport key create`
struct CreateKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a key and print it, once: only its hash is kept.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "What it is called in logs: letters, digits, '-', '_' and '.'.") var name: String
    @Option(help: "read: look at all sandboxes; operate: make and use them; admin: everything, of everybody's.")
    var scope = KeyScope.operate

    func run() throws {
        try options.run { file in
            Console.say(try file.create(name, scope) + "\n")
            file.sayChanged()
        }
    }
}

/// `sallyport key list`
struct ListKeys: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Print names, ids, scopes and ages.")

    @OptionGroup var options: ServerOptions
    @Option(name: .shortAndLong, help: "table, json, or name for names alone.") var output = OutputForm.table

    func run() throws {
        try options.run { file in
            let keys = try file.load().all
            switch output {
            case .table:
                var table = TextTable("NAME", "ID", "SCOPE", "CREATED", "FORMER SECRET UNTIL")
                for key in keys {
                    table.add([key.name, key.id, key.scope.rawValue, "\(key.createdAt)", key.formerEnd ?? ""])
                }
                Console.show(table)
            case .json: ClientProgram.show(.array(keys.map(\.json)))
            case .name: Console.say(keys.map { $0.name + "\n" }.joined())
            }
        }
    }
}

extension APIKey {
    /// When the secret before the last rotation stops; nil where it is not taken now.
    fileprivate var formerEnd: String? { former.flatMap { $0.until > .now() ? "\($0.until)" : nil } }

    /// For programs, without the hash.
    fileprivate var json: JSONValue {
        var object: JSONObject = [
            "name": .string(name), "id": .string(id), "scope": .string(scope.rawValue),
            "createdAt": .string("\(createdAt)"),
        ]
        if let formerEnd { object.set("formerUntil", .string(formerEnd)) }
        return .object(object)
    }
}

/// `sallyport key rotate`
struct RotateKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Print a new secret of a key, which keeps its name and its sandboxes. The old one stops.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "Its name or its id.") var name: String
    @Option(help: "How long the old secret is taken beside the new one: 90s, 10m, 1h, 7d.") var keepOldFor: String?

    func run() throws {
        var kept = 0
        if let keepOldFor {
            guard let seconds = DurationText.seconds(keepOldFor) else {
                throw ValidationError("--keep-old-for \(keepOldFor.prefix(40)): write 90s, 10m, 1h or 7d")
            }
            kept = seconds
        }
        try options.run { [kept] file in
            Console.say(try file.rotate(name, keeping: kept) + "\n")
            file.sayChanged()
        }
    }
}

/// `sallyport key revoke`
struct RevokeKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Revoke a key. Its sandboxes stay, and belong to administrators.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "Its name or its id.") var name: String

    func run() throws {
        try options.run { file in
            try file.revoke(name)
            file.sayChanged()
        }
    }
}
