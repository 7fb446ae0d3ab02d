import Spelling
import System

/// What the file says that `EXECD_ISOLATION_CONFIG` names (docs/execd.md#isolated-sessions). A value without I/O, but for `read`.
struct IsolationSettings: Hashable, Sendable {
    /// Where what sessions change is kept, where the sandbox's runtime does not say it.
    var upperRoot: String?
    /// Bytes that all sessions together may have changed when another one is made, or a client writes; 0: what the disk has.
    var upperMaxBytes: Int64 = 0
    /// Bytes of changes that can be had as a layer.
    var diffMaxBytes: Int64 = LayerArchive.maxBytes
    /// Where `extra_writable` and `binds` may come from.
    var allowedWritable = ["/workspace", "/mnt", "/media", "/data"]
    private var ignored: [String] = []

    /// Why a file is refused.
    struct Refusal: Error, Hashable, CustomStringConvertible {
        let description: String
    }

    private static let keys = ["upper_root", "upper_max_bytes", "diff_max_bytes", "allowed_writable"]
    /// Parts of the reference's that are not here, and what is instead.
    private static let otherTables: [String: (keys: [String], instead: String)] = [
        "seccomp": (["deny"], "sessions keep execd's own list of refused calls"),
        "hardening": (
            ["enabled", "keep_capabilities"], "sessions always have as few capabilities as execd's own list says"
        ),
        "landlock": (
            ["enabled", "extra_writable", "extra_readable"],
            "what a session may write is decided by what is mounted in it"
        ),
        "ebpf": (["enabled", "observe", "audit_file"], "nothing is observed"),
    ]
    /// Where `upper_root` cannot be: the kernel's, and what sessions do not see for another reason.
    private static let others = ["/proc", "/sys", "/dev", "/run", "/opt/opensandbox"]
    private static let maxFile = 1 << 20

    init() {}

    init(_ text: [UInt8]) throws(Refusal) {
        let tables: [String: [String: SettingsText.Value]]
        do throws(SettingsText.Problem) { tables = try SettingsText(text).tables } catch {
            throw Refusal(description: error.description)
        }
        for (name, values) in tables.sorted(by: { $0.key < $1.key }) where !name.isEmpty {
            guard let table = Self.otherTables[name] else {
                throw Self.unknown("[\(name)]", name, Array(Self.otherTables.keys))
            }
            for key in values.keys.sorted() where !table.keys.contains(key) {
                throw Self.unknown("\(key) of [\(name)]", key, table.keys)
            }
            if !values.isEmpty { ignored.append("[\(name)] has no effect: \(table.instead)") }
        }
        for (key, value) in (tables[""] ?? [:]).sorted(by: { $0.key < $1.key }) { try take(key, value) }
    }

    private mutating func take(_ key: String, _ value: SettingsText.Value) throws(Refusal) {
        switch (key, value) {
        case ("upper_root", .text(let path)):
            guard Self.isClean(path), path.split(separator: "/").count > 1,
                !Self.others.contains(where: { FilePath.isInside(path, $0) })
            else {
                throw Refusal(
                    description:
                        "upper_root, which becomes execd's alone, is an absolute path of two names at least, outside "
                        + Self.others.joined(separator: ", "))
            }
            upperRoot = path
        case ("upper_max_bytes", .number(let number)) where number >= 0: upperMaxBytes = number
        case ("diff_max_bytes", .number(let number)) where number > 0: diffMaxBytes = number
        case ("allowed_writable", .list(let values)):
            allowedWritable = []
            for value in values {
                guard case .text(let path) = value, Self.isClean(path) else {
                    throw Refusal(description: "allowed_writable has absolute paths, without . and ..")
                }
                allowedWritable.append(path)
            }
        case (_, _) where Self.keys.contains(key): throw Refusal(description: "\(key) has a value of another kind")
        default: throw Self.unknown(key, key, Self.keys)
        }
    }

    /// What is asked for and not done, a line each.
    /// - Parameter folder: where the sandbox's runtime keeps what sessions change; nil where it does not say.
    func problems(inFolder folder: String?) -> [String] {
        guard let folder, let upperRoot, folder != upperRoot else { return ignored }
        return ["upper_root has no effect: the sandbox's runtime has set \(folder)"] + ignored
    }

    private static func unknown(_ what: String, _ name: String, _ known: [String]) -> Refusal {
        let hint = SimilarName.nearest(to: name, among: known).map { "; did you mean \($0)?" } ?? ""
        return Refusal(description: "\(what.prefix(128)) is not known\(hint)")
    }

    private static func isClean(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return path.utf8.count < 4096 && !path.utf8.contains(0) && parts.count > 1 && parts[0].isEmpty
            && parts.dropFirst().allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// A file that is not there says nothing.
    /// - Throws: for one that cannot be read or understood, with its path.
    static func read(_ environment: [ExactName: String]) throws(Refusal) -> IsolationSettings {
        guard let path = environment[Setting.isolation.name], !path.isEmpty else { return IsolationSettings() }
        func refusal(_ reason: String) -> Refusal {
            Refusal(description: "\(Setting.isolation.rawValue): \(path): \(reason)")
        }
        let bytes: [UInt8]?
        do throws(SystemCallError) { bytes = try File.readIfPresent(path, limit: maxFile) } catch {
            throw refusal("\(error)")
        }
        guard let bytes else { return IsolationSettings() }
        do throws(Refusal) { return try IsolationSettings(bytes) } catch { throw refusal(error.description) }
    }
}
