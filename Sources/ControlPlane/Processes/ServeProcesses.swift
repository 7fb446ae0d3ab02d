import CLinux
import Egress
import FoundationEssentials
import HTTPServer
import Ingress
import JSON
import Logging
import Observability
import SecureAccess
import ServerTLS
import Supervision

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport serve`: takes the locks, opens the listeners, and keeps guard, server and gateway running, each a process of its
/// own. It serves nothing itself, and reads nothing but the operator's configuration and the number of the state's release.
package final class ServeProcesses {
    private let settings: Settings
    private let configuration: RunningConfiguration
    private let options: ServeOptions
    private let environment: [String: String]
    private let logger: Logger
    private let locks: InstanceLocks
    private let board: ProcessBoard
    private let parts: [Part]
    private var listeners: [Part: [String: Listener]] = [:]
    /// What each part is sent while it runs.
    private let supplies: [Part: FileSupply]

    /// A socket that a part listens on, and how it is made.
    private struct Listener {
        var descriptor: CInt
        let make: () throws -> CInt
    }

    /// Where a crash was, and no more: a process that describes all of its threads is seconds late to be started again.
    private static let backtrace =
        "threads=crashed,images=mentioned,registers=none,limit=16,color=no,sanitize=yes,symbolicate=off"
    /// What is left of the gateway's environment: nothing that could be a secret.
    private static let harmless = ["PATH", "LANG", "TZ"]

    /// - Parameters:
    ///   - settings: as `options` have changed them.
    ///   - configuration: what they were read of, and are read of again on SIGHUP.
    /// - Throws: an error whose description says what to do.
    package init(
        settings: Settings, configuration: RunningConfiguration, options: ServeOptions,
        environment: [String: String], logger: Logger
    ) throws {
        linux_use_heaps(1)
        self.settings = settings
        self.configuration = configuration
        self.options = options
        self.environment = environment
        self.logger = logger
        parts = Part.allCases.filter {
            !($0 == .egress && settings.egress.isExternal || $0 == .gateway && settings.gateway.isExternal)
        }
        try StateFolders.make(settings)
        // What is not there when the guard starts is closed to it for good.
        for folder in [settings.guardFolder, settings.namespaceDirectory] { mkdir(folder, 0o700) }
        locks = try InstanceLocks.taken(settings)
        try StateRelease(folder: settings.local.stateDirectory).claim()
        if parts.contains(.gateway) { try StateFolders.open(settings, toGateway: settings.gateway.user) }
        board = try ProcessBoard()
        supplies = Dictionary(
            uniqueKeysWithValues: try parts.map {
                ($0, $0 == .gateway ? try Self.supply(settings) : FileSupply(paths: []))
            })
        for (part, supply) in supplies { try supply.add(FileSupply.configuration, told(part)) }
        try listen()
    }

    /// Runs until it is asked to end.
    /// - Parameter whenReady: called once, when all parts serve.
    /// - Throws: where a part could not start.
    package func run(whenReady: @escaping (ServeFacts) -> Void) throws {
        let processes = parts.map { part in
            SupervisedProcess(
                name: part.rawValue, index: part.index,
                // The first server makes the secrets that the gateway is given.
                predecessor: part == .gateway ? Part.server.rawValue : nil,
                start: { [self] ready in try start(part, ready) },
                whileRunning: { [supplies] in supplies[part]?.refresh() })
        }
        let supervisor = try Supervisor(processes, board: board, logger: logger)
        do {
            try supervisor.run { [settings] in
                whenReady(ServeFacts(settings))
            } whenHungUp: { [self] in
                reload()
            }
        } catch is Supervisor.StartFailure {
            throw PartFailure()
        }
    }

    /// Reads the configuration again, and tells the parts what has changed.
    private func reload() {
        guard let settings = configuration.reload(logger) else { return }
        Observability.level = settings.logLevel
        for (part, supply) in supplies {
            do { try supply.add(FileSupply.configuration, told(part)) } catch {
                logger.error(
                    "a process could not be told of the changed configuration",
                    metadata: ["part": "\(part.rawValue)", "error": "\(error)"])
            }
        }
    }

    /// What a part is told of the configuration, as text.
    private func told(_ part: Part) -> String {
        String(decoding: configuration.tree.told(to: part).encoded, as: UTF8.self)
    }

    private func start(_ part: Part, _ ready: CInt) throws -> pid_t {
        var passed: [CInt] = []
        func number(_ descriptor: CInt) -> CInt {
            passed.append(descriptor)
            return ChildLaunch.firstPassed + CInt(passed.count - 1)
        }
        let listeners = try listening(part).mapValues(number)
        let folder = part == .gateway ? try Self.folder(settings.gatewayFolder) : nil
        defer { if let folder { close(folder) } }
        let files = try supplies[part]!.begin()
        defer { close(files) }
        let handover = Handover(
            part: part, parent: getpid(), configuration: told(part),
            path: configuration.file ?? "the configuration", options: options, variables: variables(of: part),
            listeners: listeners, board: number(board.descriptor), ready: number(ready),
            files: number(files), folder: folder.map(number), gatewayUser: settings.gateway.user, parts: parts)
        return try ChildLaunch(
            arguments: ["process", part.rawValue], environment: environment(of: part),
            directory: part == .gateway ? settings.local.runDirectory : nil, input: handover.encoded(),
            // The locks are free when the last of the parts has ended, and not before.
            passed: passed + locks.descriptors
        ).start()
    }

    /// A folder to open files in, for who may not enter those above it.
    private static func folder(_ path: String) throws(SupervisionError) -> CInt {
        let descriptor = open(path, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw SupervisionError("opening \(path)", code: errno) }
        return descriptor
    }

    /// What the server alone is told, and by no environment.
    private func variables(of part: Part) -> [String: String] {
        part == .server
            ? environment.filter { (Settings.variables + [Settings.tenantsVariable, "HOME"]).contains($0.key) } : [:]
    }

    private func environment(of part: Part) -> [String: String] {
        var told = told(to: part)
        if told["SWIFT_BACKTRACE"] == nil { told["SWIFT_BACKTRACE"] = Self.backtrace }
        return told
    }

    private func told(to part: Part) -> [String: String] {
        environment.filter { name, _ in
            guard part == .gateway else { return !name.hasPrefix("OPENSANDBOX_") && !name.hasPrefix("OPEN_SANDBOX_") }
            return Self.harmless.contains(name) || name.hasPrefix("LC_") || name.hasPrefix("SWIFT_")
                || (settings.telemetry.isEnabled && name.hasPrefix("OTEL_"))
        }
    }

    private static func supply(_ settings: Settings) throws -> FileSupply {
        let certificates = settings.gateway.tls?.certificates ?? []
        let keys = KeyFile(settings).path
        let supply = FileSupply(
            paths: [Secrets.directoryFile(settings).path] + (settings.gateway.keys == nil ? [keys] : [])
                + certificates.flatMap { [$0.certificate, $0.key] })
        if let ring = settings.gateway.keys { try supply.add(keys, ring.text) }
        return supply
    }

    // MARK: listeners

    private func listen() throws {
        let gateway = parts.contains(.gateway) ? settings.gateway.user : nil
        let server = settings.server
        try add(.server, ListenerName.api, tcp: server.host, server.port, "[server] port")
        if let tls = server.tls { try add(.server, ListenerName.apiTLS, tcp: tls.host, tls.port, "[server.tls] port") }
        if case .tcp(let host, let port)? = settings.gateway.directory?.place {
            try add(.server, ListenerName.directoryTCP, tcp: host, port, "[ingress.directory] listen")
        }
        try add(.server, ListenerName.directory, unix: settings.directorySocket, gateway)
        if let gateway {
            try add(.server, ListenerName.link) { [settings] in
                try ListeningSocket.messages(path: settings.linkSocket, group: gateway)
            }
            try add(.gateway, ListenerName.gateway, tcp: settings.gateway.host, settings.gateway.port, "[ingress] port")
            if let tls = settings.gateway.tls {
                try add(.gateway, ListenerName.gatewayTLS, tcp: tls.host, tls.port, "[ingress.tls] port")
            }
            try add(.gateway, ListenerName.gatewayMetrics, unix: settings.gatewayMetricsSocket, nil)
        }
        guard parts.contains(.egress) else { return }
        try add(.egress, ListenerName.policy, unix: settings.policySocket, gateway)
        try add(.egress, ListenerName.admin, unix: settings.egressAdminSocket, nil)
        if let address = settings.egress.metricsAddress {
            let host = address.host.map { "\($0)" } ?? "::"
            try add(.egress, ListenerName.guardMetrics, tcp: host, Int(address.port), "[egress] metrics_listen")
        }
    }

    /// The sockets of a part that is to be started, in the place of those that its predecessor has made useless.
    private func listening(_ part: Part) throws -> [String: CInt] {
        for (name, listener) in listeners[part] ?? [:] where !ListeningSocket.isListening(listener.descriptor) {
            logger.warning(
                "a socket was shut down and is opened again",
                metadata: ["part": "\(part.rawValue)", "socket": "\(name)"])
            // Free before its successor is bound.
            close(listener.descriptor)
            listeners[part]?[name]?.descriptor = -1
            listeners[part]?[name]?.descriptor = try listener.make()
        }
        return (listeners[part] ?? [:]).mapValues(\.descriptor)
    }

    private func add(_ part: Part, _ name: String, _ make: @escaping () throws -> CInt) throws {
        listeners[part, default: [:]][name] = Listener(descriptor: try make(), make: make)
    }

    private func add(_ part: Part, _ name: String, tcp host: String, _ port: Int, _ setting: String) throws {
        try add(part, name) {
            do throws(SupervisionError) { return try ListeningSocket.tcp(host: host, port: port) } catch {
                throw ConfigurationError.cannotListen(on: host, port, setting, code: error.code)
            }
        }
    }

    private func add(_ part: Part, _ name: String, unix path: String, _ group: UInt32?) throws {
        try add(part, name) {
            do throws(SupervisionError) { return try ListeningSocket.unix(path: path, group: group) } catch {
                throw ConfigurationError("\(error); run as root")
            }
        }
    }
}

/// A part could not start, and has said why.
package struct PartFailure: Error {}

/// What is said of a server that is ready.
package struct ServeFacts: Sendable {
    package let settings: Settings
    /// What clients send; nil where none is asked for.
    package let apiKey: String?
    /// Where the API key is kept; nil where it is configured.
    package let apiKeyFile: String?

    /// - Parameter secrets: nil: the key is read where the server keeps it.
    init(_ settings: Settings, secrets: Secrets? = nil) {
        self.settings = settings
        let file = settings.server.apiKey == nil ? Secrets.apiKeyFile(settings) : nil
        let key = secrets.map(\.apiKey) ?? settings.server.apiKey ?? file?.read()
        apiKey = key?.isEmpty == true ? nil : key
        apiKeyFile = file?.path
    }
}

extension ConfigurationError {
    static func cannotListen(on host: String, _ port: Int, _ setting: String, code: Int32) -> ConfigurationError {
        ConfigurationError(
            "\(ListenError(place: "\(host):\(port)", code: code)) in \(setting)")
    }
}
