import CLinux
import FoundationEssentials
import JSON
import Logging
import Observability
import Supervision
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a process of `sallyport serve` is told at its start, over its standard input: a file in memory that nobody else can open.
/// Neither its arguments nor its environment say any of it.
package struct Handover: Codable, Sendable {
    package var part: Part
    /// The supervisor's process id.
    package var parent: Int32
    /// The sections of the configuration that concern the part, as JSON.
    var configuration: String
    /// Where these were read.
    var path: String
    var options: ServeOptions
    /// Variables with secrets.
    var variables: [String: String]
    /// Descriptors of sockets that listen, by `ListenerName`.
    var listeners: [String: Int32]
    var board: Int32
    /// A byte is written here when the part serves.
    var ready: Int32
    /// Where changes of the configuration come from, and the gateway's files, which it may not open (`FileSupply`).
    var files: Int32
    /// The gateway's: the folder of what it keeps. Its present one is that of the sockets.
    var folder: Int32?
    var gatewayUser: UInt32
    /// The parts that run beside each other.
    var parts: [Part]

    /// Reads what the supervisor has written, and keeps it from every program that this one will start.
    package static func receive() throws -> Handover {
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = read(STDIN_FILENO, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        let handover: Handover
        do { handover = try JSONValue(bytes).decode() } catch {
            throw ConfigurationError("this command is for `sallyport serve` alone, which starts it")
        }
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard null >= 0, dup2(null, STDIN_FILENO) == 0 else { throw ConfigurationError("/dev/null cannot be opened") }
        close(null)
        // The list of processes would say "exe", the name under which it was started.
        let name = open("/proc/self/comm", O_WRONLY | O_CLOEXEC)
        if name >= 0 {
            write(name, "sallyport", 9)
            close(name)
        }
        guard linux_close_all_on_exec() == 0 else { throw ConfigurationError("descriptors cannot be kept") }
        return handover
    }

    func encoded() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

    /// The part serves.
    package func tellReady() {
        var byte: UInt8 = 1
        write(ready, &byte, 1)
        close(ready)
    }

    /// Gives up what the part does not need. The first thing that it does, while it has one thread.
    package func confine() throws {
        // A heap for each thread would cost a process of few as much as all that it keeps.
        switch part {
        case .egress: linux_use_heaps(1)
        case .gateway: linux_use_heaps(2)
        case .server: break
        }
        if let confinement = part.confinement(gatewayUser: gatewayUser) {
            try confinement.apply(parent: parent)
        } else {
            try Confinement.end(with: parent)
        }
    }

    /// Closes what the part does not need of files and of system calls, as far as that may be at its start.
    /// - Returns: what this kernel cannot do.
    package func confineFurther(_ settings: Settings) throws -> [String] {
        var missing: [String] = []
        if let reach = part.reach(settings, folder: folder), try !Confinement.limit(to: reach) {
            missing.append("Landlock (it may reach all files that its user may)")
        }
        if part == .egress, try !Confinement.guardOnly() {
            missing.append("system call filters (it may do all that its capabilities let it)")
        }
        return missing
    }

    package func settings() throws -> Settings {
        var settings = Settings()
        let tree: JSONValue
        do { tree = try JSONValue(Array(configuration.utf8)) } catch { throw ConfigurationError("\(error)") }
        try settings.apply(tree, path: path)
        try settings.apply(environment: variables)
        options.apply(to: &settings)
        settings.gateway.user = gatewayUser
        return settings
    }

    /// Takes each change of the configuration while the part runs: the level of its log, and what `change` does.
    func follow(_ logger: Logger, _ change: @escaping @Sendable (Settings) -> Void = { _ in }) throws {
        let supplied = try SuppliedFiles(descriptor: files)
        whenChanged(supplied, logger, change)
        try DetachedThread.start { supplied.follow() }
    }

    func whenChanged(
        _ supplied: SuppliedFiles, _ logger: Logger, _ change: @escaping @Sendable (Settings) -> Void = { _ in }
    ) {
        supplied.whenChanged { [self] path in
            guard path == FileSupply.configuration, let text = supplied.content(path) else { return }
            var next = self
            next.configuration = String(decoding: text, as: UTF8.self)
            do {
                let settings = try next.settings()
                Observability.level = settings.logLevel
                change(settings)
            } catch {
                // The supervisor has read the whole of it before.
                logger.error(
                    "the changed configuration cannot be used; the previous one stays in force",
                    metadata: ["error": "\(error)"])
            }
        }
    }

    /// Those of a server beside whose process the other parts run.
    func serverSettings(_ given: Settings) -> Settings {
        var settings = given
        settings.egress.isExternal = true
        settings.gateway.isExternal = true
        // What the gateway's user may do is to connect to sandboxes.
        if isRunning(.gateway) { settings.local.reachableBy?.insert(gatewayUser) }
        return settings
    }

    func isRunning(_ part: Part) -> Bool { parts.contains(part) }
}

/// What the command line says, in the place of the configuration.
package struct ServeOptions: Codable, Hashable, Sendable {
    package var host: String?
    package var port: Int?
    package var gatewayPort: Int?
    package var execd: String?
    package var stateDirectory: String?
    package var runDirectory: String?
    /// A name of swift-log's levels.
    package var logLevel: String?
    /// `text` or `json`.
    package var logFormat: String?

    package init() {}

    package func apply(to settings: inout Settings) {
        settings.server.host = host ?? settings.server.host
        settings.server.port = port ?? settings.server.port
        settings.gateway.port = gatewayPort ?? settings.gateway.port
        settings.local.execd = execd ?? settings.local.execd
        settings.local.stateDirectory = stateDirectory ?? settings.local.stateDirectory
        settings.local.runDirectory = runDirectory ?? settings.local.runDirectory
        settings.log.format = logFormat.flatMap { LogFormat(rawValue: $0) } ?? settings.log.format
        settings.logLevel = logLevel.flatMap { Logger.Level(rawValue: $0) } ?? settings.logLevel
    }
}

extension JSONValue {
    /// What a part is told of a configuration.
    func told(to part: Part) -> JSONValue {
        guard let sections = part.sections, case .object(let object) = self else { return self }
        var told = JSONObject()
        for member in object.members where sections.contains(member.name) {
            let hidden = (part.secrets[member.name] ?? []).map { $0.split(separator: ".").map(String.init) }
            told.set(member.name, hidden.reduce(member.value) { $0.without($1[...]) })
        }
        return .object(told)
    }

    /// Without the member that a path of names leads to.
    private func without(_ path: ArraySlice<String>) -> JSONValue {
        guard case .object(let object) = self, let name = path.first else { return self }
        var rest = JSONObject()
        for member in object.members {
            guard member.name == name else {
                rest.set(member.name, member.value)
                continue
            }
            if path.count > 1 { rest.set(name, member.value.without(path.dropFirst())) }
        }
        return .object(rest)
    }
}
