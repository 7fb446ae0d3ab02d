import ArgumentParser
import Client
import HTTPClient
import JSON
import ProgramSupport
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport image`
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image", abstract: "List, pull and remove the images of a running server.",
        subcommands: [ListImages.self, PullImage.self, RemoveImages.self, PruneImages.self], aliases: ["images"])
}

extension OutputForm {
    func show(images: [JSONValue]) {
        switch self {
        case .json: ClientProgram.show(.array(images))
        case .name: Console.say(ImageListing(images).names.map { ForeignText.escaped($0) + "\n" }.joined())
        case .table: Console.show(ImageListing(images).table)
        }
    }
}

extension ServerAPI {
    static let images = "/v1/images"

    /// The `items` of an answer.
    static func items(_ answer: JSONValue?) throws(ClientFailure) -> [JSONValue] {
        guard case .array(let items)? = answer?["items"] else {
            throw ClientFailure(.notUnderstood, "the server answers without a list")
        }
        return items
    }
}

struct ListImages: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List them by name; private ones only with an administrator's key.",
        aliases: ["ls"])

    @OptionGroup var connection: ConnectionOptions
    @Option(name: .shortAndLong, help: "table, json, or name for names alone.") var output = OutputForm.table

    func run() async throws {
        try await connection.run { output.show(images: try ServerAPI.items(try await $0.ask("GET", ServerAPI.images))) }
    }
}

struct PullImage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch an image, so that creates need not wait for it.",
        discussion: "One that is there already stays as it is: remove it first to fetch what its tag means now.")

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "The user name at the registry.") var username: String?
    @Option(help: "A file with the password; - for standard input.") var passwordFile: String?
    @Option(name: .shortAndLong, help: "name for its whole name, json, or table.") var output = OutputForm.name
    @Argument(help: "The image, such as docker.io/library/python:3.11-slim.") var image: String

    func run() async throws {
        try await connection.run { api in
            var asked = JSONObject()
            asked.set("uri", .string(image))
            if let auth = try credentials() { asked.set("auth", auth) }
            let body = JSONValue.object(["image": .object(asked)])
            let pulled = try await Progress.during("pulling \(image)") {
                while true {
                    let answer = try await api.ask("POST", ServerAPI.images, body)
                    // It goes on there, and whoever asks again waits for it.
                    guard answer?["state"] == .string("Pulling") else { return answer }
                }
            }
            guard let pulled else { throw ClientFailure(.notUnderstood, "the server answers a pull with nothing") }
            switch output {
            case .json: ClientProgram.show(pulled)
            case .name, .table: output.show(images: [pulled])
            }
        }
    }

    private func credentials() throws(ClientFailure) -> JSONValue? {
        switch (username, passwordFile) {
        case (nil, nil): return nil
        case (let name?, let file?):
            guard let password = SecretLine.read(file) else {
                throw ClientFailure(.usage, "--password-file \(file): no password can be read from it")
            }
            return .object(["username": .string(name), "password": .string(password)])
        default: throw ClientFailure(.usage, "--username and --password-file go together")
        }
    }
}

struct RemoveImages: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove images that no sandbox and no snapshot uses.",
        discussion: "For an administrator's key.", aliases: ["rm"])

    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "Their names.") var images: [String]

    func run() async throws {
        try await connection.eachOf(images) {
            _ = try await $0.ask("DELETE", ServerAPI.images + ServerAPI.query([("uri", $1)]))
        }
    }
}

struct PruneImages: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Remove all images that no sandbox and no snapshot uses, and print their names.",
        discussion: "For an administrator's key.")

    @OptionGroup var connection: ConnectionOptions
    @Option(name: .shortAndLong, help: "name for names alone, json, or table.") var output = OutputForm.name

    func run() async throws {
        try await connection.run { api in
            output.show(images: try ServerAPI.items(try await api.ask("POST", ServerAPI.images + "/prune")))
        }
    }
}

/// A secret in a file, of which the first line counts.
enum SecretLine {
    private static let longest = 4096

    /// - Parameter path: `-` for standard input.
    static func read(_ path: String) -> String? {
        let bytes = path == "-" ? try? File.read(STDIN_FILENO) : try? File.read(path)
        guard let bytes, bytes.count <= longest else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let line = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).first, !line.isEmpty
        else { return nil }
        return String(line)
    }
}
