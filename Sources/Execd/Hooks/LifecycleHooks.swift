import Spelling
import System

/// Commands that run at points of a sandbox's life (`lifecycle` of a create).
struct LifecycleHooks: Decodable, Hashable, Sendable {
    struct Hook: Decodable, Hashable, Sendable {
        var command: [String]
        var timeoutSeconds: Int?
    }
    struct Periodic: Decodable, Hashable, Sendable {
        var name: String
        /// As `Schedule` reads it.
        var schedule: String
        var command: [String]
        var timeoutSeconds: Int?
    }

    /// Before the sandbox's program starts; if it fails, that does not.
    var preStart: Hook?
    /// While the sandbox runs.
    var periodic: [Periodic]?

    /// Seconds that a hook may take which names no limit.
    static let usualSeconds = 60
    private static let maxPeriodic = 64
    private static let files = [".execd/lifecycle.json", ".execd/lifecycle.toml"]

    /// Those of the environment: the text itself, or a file that is named or stands in its usual place; nil for none.
    static func configured(_ environment: [ExactName: String]) throws(RequestBodyError) -> LifecycleHooks? {
        if let text = environment[Setting.hooks.name], !text.isEmpty {
            return try named(Setting.hooks.rawValue) { () throws(RequestBodyError) in try decode(Array(text.utf8)) }
        }
        if let path = environment[Setting.hooksFile.name], !path.isEmpty {
            guard let bytes = try? File.read(path, limit: 1 << 20) else {
                throw RequestBodyError("\(Setting.hooksFile.rawValue): \(path) cannot be read")
            }
            return try named(path) { () throws(RequestBodyError) in try decode(file: bytes) }
        }
        guard let home = environment["HOME"] else { return nil }
        for file in files {
            guard let bytes = try? File.read("\(home)/\(file)", limit: 1 << 20) else { continue }
            return try named("\(home)/\(file)") { () throws(RequestBodyError) in try decode(file: bytes) }
        }
        return nil
    }

    /// A file's content: JSON where it begins as an object does, and TOML of the same names else.
    static func decode(file bytes: [UInt8]) throws(RequestBodyError) -> LifecycleHooks {
        let first = bytes.first { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
        guard first != UInt8(ascii: "{") else { return try decode(bytes) }
        let text: SettingsText
        do throws(SettingsText.Problem) { text = try SettingsText(bytes, many: ["periodic"]) } catch {
            throw RequestBodyError(error.description)
        }
        let hooks = try RequestBody.decode(LifecycleHooks.self, from: text.json)
        try hooks.validate()
        return hooks
    }

    static func decode(_ bytes: [UInt8]) throws(RequestBodyError) -> LifecycleHooks {
        let hooks = try RequestBody.decode(LifecycleHooks.self, from: bytes)
        try hooks.validate()
        return hooks
    }

    func validate() throws(RequestBodyError) {
        if let preStart { try Self.check("preStart", preStart.command, preStart.timeoutSeconds, atMost: 10_800) }
        let periodic = periodic ?? []
        guard periodic.count <= Self.maxPeriodic else {
            throw RequestBodyError("periodic has more than \(Self.maxPeriodic) entries")
        }
        var names: Set<ExactName> = []
        for hook in periodic {
            guard !hook.name.isEmpty, hook.name.utf8.count <= 128 else {
                throw RequestBodyError("a periodic hook has no name, or one of more than 128 bytes")
            }
            guard names.insert(ExactName(hook.name)).inserted else {
                throw RequestBodyError("two periodic hooks are called \(hook.name)")
            }
            try Self.check(hook.name, hook.command, hook.timeoutSeconds, atMost: 300)
            guard Schedule(hook.schedule) != nil else {
                throw RequestBodyError(
                    "\(hook.name): \"\(hook.schedule.prefix(80))\" is not a schedule: use five fields of cron, @hourly, or @every 30s"
                )
            }
        }
    }

    private static func check(
        _ name: String, _ command: [String], _ seconds: Int?, atMost limit: Int
    ) throws(RequestBodyError) {
        guard let program = command.first, !program.isEmpty else { throw RequestBodyError("\(name) has no command") }
        guard !command.contains(where: { $0.utf8.contains(0) }) else {
            throw RequestBodyError("\(name): a NUL byte cannot be passed to a process")
        }
        guard (1...limit).contains(seconds ?? 1) else {
            throw RequestBodyError("\(name): timeoutSeconds must be from 1 to \(limit)")
        }
    }

    private static func named(
        _ place: String, _ read: () throws(RequestBodyError) -> LifecycleHooks
    ) throws(RequestBodyError) -> LifecycleHooks {
        do throws(RequestBodyError) { return try read() } catch {
            throw RequestBodyError("\(place): \(error.description)")
        }
    }
}
