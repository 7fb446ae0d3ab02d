import ArgumentParser
import Client
import ControlPlane
import FoundationEssentials
import JSON
import Netfilter
import ProgramSupport
import System

/// Which server is asked, with which key, and how the answer is shown.
struct ConnectionOptions: ParsableArguments {
    @Option(
        help: "host:port or URL of the server; else OPEN_SANDBOX_DOMAIN, else the one that the configuration describes."
    )
    var server: String?

    @Option(
        help: "A file with the API key; else OPEN_SANDBOX_API_KEY, else the key that a server of this machine has made."
    )
    var apiKeyFile: String?

    @Option(help: "The TOML configuration of a server on this machine; else SANDBOX_CONFIG_PATH, else ~/.sandbox.toml.")
    var config: String?

    func api() throws -> ServerAPI {
        let environment = ProcessInfo.processInfo.environment
        // Another machine's server may be asked where this one's configuration cannot be read.
        let settings = try? Settings.load(path: config, environment: environment)
        if config != nil, settings == nil { _ = try Settings.load(path: config, environment: environment) }
        let location = try ServerLocation(
            server: server, key: try apiKeyFile.map(Self.key), environment: environment,
            usual: settings.map { Self.place($0.server) } ?? "127.0.0.1:8080",
            ownKey: {
                settings.flatMap {
                    Self.isOthers($0.server.port)
                        ? nil : $0.server.apiKey ?? File.text($0.secretsFolder + "/api-key", limit: 4096)?.firstLine
                }
            })
        return ServerAPI(location)
    }

    /// Where this machine reaches its own server.
    private static func place(_ server: Settings.Server) -> String {
        let host = ["0.0.0.0": "127.0.0.1", "::": "::1"][server.host] ?? server.host
        return (host.contains(":") ? "[\(host)]" : host) + ":\(server.port)"
    }

    /// Whether another user listens where the server should: while that is away, anybody may.
    private static func isOthers(_ port: Int) -> Bool {
        guard let port = UInt16(exactly: port), let users = try? ListeningSockets().users(ofPort: port) else {
            return true
        }
        return users.contains { $0 != 0 }
    }

    private static func key(in path: String) throws(ClientFailure) -> String {
        guard let key = File.text(path, limit: 4096)?.firstLine, !key.isEmpty else {
            throw ClientFailure(.usage, "--api-key-file \(path): no key can be read from it")
        }
        return key
    }

    /// Runs a command; what it fails with is told as a line, and by the exit status.
    func run(_ body: (ServerAPI) async throws -> Void) async throws {
        do { try await body(try api()) } catch { throw ClientProgram.failure(error) }
    }
}

enum ClientProgram {
    /// The exit status that says what a command failed with.
    static func failure(_ error: any Error) -> any Error {
        switch error {
        case is ExitCode, is CleanExit: return error
        case is ValidationError: return error
        case let failure as ClientFailure:
            Console.complain("sallyport: \(failure)\n")
            return ExitCode(failure.kind.rawValue)
        default:
            Console.complain("sallyport: \(error)\n")
            return ExitCode(1)
        }
    }

    /// A JSON value on lines of its own.
    static func show(_ value: JSONValue?) {
        guard let value else { return }
        Console.say(String(decoding: value.encoded, as: UTF8.self) + "\n")
    }

    /// Seconds since 1970, of a moment of the API.
    static let moment: @Sendable (String) -> Int64? = { Timestamp($0)?.seconds }
}

/// How an answer is shown.
enum OutputForm: String, ExpressibleByArgument, CaseIterable {
    /// Columns for people, whose form may change.
    case table
    /// The API's own JSON, which stays.
    case json
    /// One id a line.
    case name
}

/// The same of what has no ids.
enum AnswerForm: String, ExpressibleByArgument, CaseIterable {
    case table, json
}

/// `--output`, and `--json`, which says the same in fewer words.
struct AnswerOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "table for people, or json.") var output = AnswerForm.table
    @Flag(help: "The same as --output json.") var json = false

    var isJSON: Bool { json || output == .json }
}

extension String {
    fileprivate var firstLine: String {
        String(split(whereSeparator: \.isNewline).first ?? "").trimmingSpaces
    }

    private var trimmingSpaces: String {
        var rest = Substring(self)
        while rest.last == " " || rest.last == "\t" { rest.removeLast() }
        while rest.first == " " || rest.first == "\t" { rest.removeFirst() }
        return String(rest)
    }
}
