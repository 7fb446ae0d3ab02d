import ArgumentParser
import Client
import ControlPlane
import FoundationEssentials
import Ingress
import JSON
import ProgramSupport
import SafeText
import SecureAccess
import System

/// `sallyport token`
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, check and read signed routes, and rotate the keys that sign them.",
        subcommands: [MintToken.self, VerifyToken.self, InspectToken.self, RotateKeys.self])
}

/// Where keys and epochs come from.
struct TokenOptions: ParsableArguments {
    @OptionGroup var server: ServerOptions

    @Option(
        help:
            "Keys as a=base64:…,b=base64:…; without --active-key the first signs. Visible to other users of the machine."
    )
    var keys: String?

    @Option(help: "A file of keys; else those of the configuration, else those that the server keeps.")
    var keysFile: String?

    @Option(help: "The id of the key that signs.")
    var activeKey: String?

    /// - Parameter kept: whether what the server keeps is asked for.
    func settings(kept: Bool) throws -> Settings { kept ? try server.keptSettings() : try server.settings() }

    func ring() throws -> KeyRing {
        guard activeKey == nil || activeKey!.count == 1 else {
            throw ValidationError("--active-key must be one character of 0-9 and a-z")
        }
        if let keys { return try KeyRing.parse(keys, active: activeKey?.first) }
        var ring = try keysFile.map { try KeyFile(path: $0).load() }
        if ring == nil {
            ring = try settings(kept: false).gateway.keys ?? KeyFile(settings(kept: true)).load()
        }
        return try activeKey.map { try KeyRing.parse(ring!.text, active: $0.first) } ?? ring!
    }

    /// The given epoch, or the sandbox's epoch in the server's store.
    func epoch(_ text: String?, of sandbox: String) async throws -> AccessEpoch {
        if let text {
            guard let epoch = AccessEpoch(text) else {
                throw ValidationError("--epoch must be <birth>.<revocations>, both in base 36")
            }
            return epoch
        }
        let path = try settings(kept: true).database
        guard FileManager.default.fileExists(atPath: path) else {
            throw ValidationError("there is no store \(path) to read the sandbox's epoch from; give --epoch")
        }
        guard let known = try await SQLiteStore(path: path).sandboxes.all().first(where: { $0.id == sandbox }) else {
            throw ValidationError("the server knows no sandbox \(sandbox); give --epoch for one of another server")
        }
        return known.accessEpoch
    }
}

/// Where a token is used.
enum TokenPlace: String, CaseIterable, ExpressibleByArgument {
    case header, uri, wildcard

    var form: RouteToken.Form { self == .wildcard ? .label : .long }
}

/// `sallyport token mint`
struct MintToken: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "mint", abstract: "Print a signed route.")

    @OptionGroup var options: TokenOptions
    @Option(help: "The version of the route: 2, or 1 for gateways that know no other (32 bits).") var version = 2
    @Option(help: "The sandbox's id.") var sandbox: String
    @Option(help: "The port, 1 to 65535.") var port: Int
    @Option(help: "Until when, in seconds since 1970.", transform: MintToken.moment) var expires: UInt64
    @Option(name: .customLong("form"), help: "header, uri or wildcard.") var place = TokenPlace.header
    @Option(help: "The sandbox's epoch; else what the server's store says. Version 2 only.") var epoch: String?
    @Flag(help: "Valid for one use. Version 2, header or uri only, as are the following options.") var once = false
    @Option(help: "For these methods only: a list of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, WEBSOCKET.")
    var methods: String?
    @Option(help: "Only for this path and what is below it.") var path: String?
    @Option(help: "Whom it is for: passed to the sandbox, no secret.") var label: String?

    private static let moments = "it is seconds since 1970, such as $(($(date +%s) + 3600)) for an hour from now"

    /// A span, as other options take, is refused with what is wanted in its place.
    @Sendable private static func moment(_ text: String) throws -> UInt64 {
        guard let seconds = UInt64(text) else { throw ValidationError(moments) }
        return seconds
    }

    private func scope() throws -> RouteScope {
        let list = methods.map { RouteScope.Methods($0) }
        if case .some(.none) = list { throw RouteScopeError.methods }
        return try RouteScope(once: once, methods: list ?? nil, path: path, label: label)
    }

    func validate() throws {
        guard RouteToken.Version(rawValue: version) != nil else { throw ValidationError("--version must be 1 or 2") }
        guard (1...65535).contains(port) else { throw ValidationError("--port must be from 1 to 65535") }
        do {
            guard try scope().isEmpty || (version == 2 && place != .wildcard) else {
                throw ValidationError("--once, --methods, --path and --label go with version 2 in a header or a path")
            }
        } catch let error as RouteScopeError { throw ValidationError("--\(error)") }
        guard expires > SystemClock.wallSeconds() else {
            throw ValidationError("--expires \(expires) is in the past: \(Self.moments)")
        }
        guard Route.isSandboxID(sandbox) else {
            throw ValidationError("--sandbox must be up to 128 letters, digits, dashes and underscores")
        }
    }

    func run() async throws {
        do { try await mint() } catch { throw ClientProgram.failure(error) }
    }

    private func mint() async throws {
        let ring = try options.ring()
        let token: RouteToken
        if version == 1 {
            token = .mint(sandbox: sandbox, port: port, expires: expires, keys: ring)
        } else {
            let epoch = try await options.epoch(epoch, of: sandbox), scope = try scope()
            token =
                scope.isEmpty
                ? .mint(
                    sandbox: sandbox, port: port, expires: expires, epoch: epoch, form: place.form, keys: ring)
                : .mint(sandbox: sandbox, port: port, expires: expires, epoch: epoch, scope: scope, keys: ring)
        }
        switch place {
        case .header: Console.say(token.text + "\n")
        case .uri: Console.say(token.pathPrefix + "\n")
        case .wildcard: Console.say(try token.label() + "\n")
        }
    }
}

/// A token in the form of a header, a host name or a path.
struct WrittenToken: ExpressibleByArgument {
    var token: RouteToken

    init?(argument: String) {
        let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
        let read =
            argument.hasPrefix("/")
            ? parts.count == 5
                ? try? RouteToken(
                    sandbox: parts[1], port: parts[2], expires: parts[3], signature: parts[4], in: .long) : nil
            : try? RouteToken(argument)
        guard let read else { return nil }
        token = read
    }
}

/// `sallyport token verify`
struct VerifyToken: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Say whether a signed route opens anything now.")

    @OptionGroup var options: TokenOptions
    @Argument(help: "<id>-<port>-<expires>-<signature>, or /<id>/<port>/<expires>/<signature>.") var token: WrittenToken
    @Option(help: "The sandbox's epoch; else what the server's store says.") var epoch: String?
    @Option(name: .shortAndLong, help: "table for a sentence, or json.") var output = AnswerForm.table

    func run() async throws {
        do { try await verify() } catch { throw ClientProgram.failure(error) }
    }

    private func verify() async throws {
        let token = token.token, now = SystemClock.wallSeconds()
        // Version 1 knows no epoch, and the store tells whether it has been revoked only where there is one.
        let known: AccessEpoch
        do {
            known = try await options.epoch(epoch, of: token.sandbox)
        } catch {
            guard token.version == .one, epoch == nil else { throw error }
            known = .first
        }
        try token.verify(now: now, epoch: known, keys: options.ring())
        // Of other gateways' files, and of one that this user may not read, nothing is known.
        let nonce = token.scope?.nonce, isOnce = nonce != nil
        if let nonce, let file = try? options.settings(kept: true).spentTokensFile,
            SpentTokens.contains(nonce, inFile: file, now: now) == true
        {
            throw ClientFailure(.refused, "the route token is for one use, and it has been used")
        }
        switch output {
        case .table:
            let use = isOnce ? ", for one use: a gateway refuses it once it has been used" : ""
            Console.say("valid for \(token.expires - now) s\(use)\n")
        case .json:
            ClientProgram.show(
                .object([
                    "validForSeconds": .integer(Int(clamping: token.expires - now)), "once": .boolean(isOnce),
                ]))
        }
    }
}

/// `sallyport token inspect`
struct InspectToken: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show the parts of a signed route without verifying it.")

    @Argument(help: "<id>-<port>-<expires>-<signature>, or /<id>/<port>/<expires>/<signature>.") var token: WrittenToken
    @Option(name: .shortAndLong, help: "table or json.") var output = AnswerForm.table

    func run() {
        let token = token.token, scope = token.scope
        let place =
            switch token.form {
            case nil: "any"
            case .label?: "host name"
            case .long?: "header or path"
            }
        var parts: [(String, JSONValue)] = [
            ("version", .integer(Int(token.version.rawValue))), ("stands", .string(place)),
            ("sandbox", .string(token.sandbox)), ("port", .integer(token.port)),
            ("expires", .integer(Int(clamping: token.expires))), ("key", .string("\(token.keyID)")),
        ]
        if scope?.nonce != nil { parts.append(("use", .string("once"))) }
        if let methods = scope?.methods { parts.append(("methods", .string(methods.text))) }
        if let path = scope?.path { parts.append(("path", .string(path))) }
        if let label = scope?.label { parts.append(("label", .string(label))) }
        switch output {
        case .table: Console.say(SandboxListing.lines(parts.map { ($0.0, Self.text($0.1)) }))
        case .json:
            var object = JSONObject()
            for (name, value) in parts { object.set(name, value) }
            ClientProgram.show(.object(object))
        }
    }

    private static func text(_ value: JSONValue) -> String {
        if case .string(let text) = value { text } else { String(decoding: value.encoded, as: UTF8.self) }
    }
}

/// `sallyport token rotate`
struct RotateKeys: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Add a new active key to the kept ones. Running servers notice within a second.",
        discussion: "What the earlier keys signed goes on being accepted until --remove takes them out.")

    @OptionGroup var server: ServerOptions
    @Option(help: "A file of keys; else those that the server keeps.") var keysFile: String?
    @Option(help: "Remove a key instead, after what it signed has expired.") var remove: String?

    func run() throws {
        do { try rotate() } catch { throw ClientProgram.failure(error) }
    }

    private func rotate() throws {
        let settings = try keysFile == nil ? server.keptSettings() : server.settings()
        guard keysFile != nil || settings.gateway.keys == nil else {
            throw ValidationError("the keys are in the configuration: change them there")
        }
        let file = keysFile.map { KeyFile(path: $0) } ?? KeyFile(settings)
        if let remove {
            guard remove.count == 1 else { throw ValidationError("--remove needs the id of one key") }
            Console.say("active \(try file.remove(remove.first!).active)\n")
        } else {
            Console.say("active \(try file.rotate().active)\n")
        }
    }
}
