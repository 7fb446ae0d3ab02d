import ArgumentParser
import ControlPlane
import Foundation

/// `sallyport key`
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Make, list, rotate and revoke API keys; servers notice without a restart.",
        subcommands: [CreateKey.self, ListKeys.self, RotateKey.self, RevokeKey.self])
}

extension ServerOptions {
    fileprivate func file() throws -> APIKeyFile { APIKeyFile(try settings()) }
}

extension APIKeyFile {
    /// Whose keys they were is easily mistaken: a server may have another state folder.
    fileprivate func sayChanged() { FileHandle.standardError.write(Data("changed: \(path)\n".utf8)) }
}

extension KeyScope: ExpressibleByArgument {}

/// `sallyport key create`
struct CreateKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Print a new key. It is kept nowhere: only its hash is.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "What it is called in logs: letters, digits, '-', '_' and '.'.") var name: String
    @Option(help: "read: look at all sandboxes; operate: make and use them; admin: everything, of everybody's.")
    var scope = KeyScope.operate

    func run() throws {
        let file = try options.file()
        print(try file.create(name, scope))
        file.sayChanged()
    }
}

/// `sallyport key list`
struct ListKeys: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Print names, ids, scopes and ages.")

    @OptionGroup var options: ServerOptions

    func run() throws {
        for key in try options.file().load().all {
            let former = key.former.flatMap { $0.until > .now() ? "\tthe former secret until \($0.until)" : nil } ?? ""
            print("\(key.name)\t\(key.id)\t\(key.scope.rawValue)\t\(key.createdAt)\(former)")
        }
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
        let file = try options.file()
        print(try file.rotate(name, keeping: kept))
        file.sayChanged()
    }
}

/// `sallyport key revoke`
struct RevokeKey: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take a key back. Its sandboxes stay, and are the administrators'.")

    @OptionGroup var options: ServerOptions
    @Argument(help: "Its name or its id.") var name: String

    func run() throws {
        let file = try options.file()
        try file.revoke(name)
        file.sayChanged()
    }
}
