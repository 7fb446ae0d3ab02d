import JSON
import Redis
import ServerTLS
import System

/// The secrets of one server that can be known: of its configuration, the environment and its files.
struct KnownSecrets {
    private(set) var all: Set<String> = []

    init(_ settings: Settings, _ tree: JSONValue, _ environment: [String: String]) {
        add([settings.server.apiKey, settings.renewal.redis?.address.password].compactMap { $0 })
        addTexts(of: tree, at: [])
        for name in File.names(in: settings.secretsFolder) ?? [] where name != "api-keys" {
            add(parts: File.text(settings.secretsFolder + "/" + name, limit: 1 << 20) ?? "")
        }
        for (name, value) in environment where Self.isSecret(name) { add(parts: value) }
        let listeners = [settings.server.tls, settings.gateway.tls].compactMap { $0 }
        var keys = listeners.flatMap(\.certificates).map(\.key)
        if let folder = settings.docker.certificates { keys.append(folder + "/key.pem") }
        for path in keys { add(lines(of: path)) }
        if let path = settings.tenants { addTenants(path) }
    }

    /// The texts of a configuration that cannot be read: whatever is in quotes or behind an equals sign.
    mutating func add(brokenConfiguration text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            add(line.split { "\"'".contains($0) }.map(String.init))
            if let equals = line.firstIndex(of: "=") { add(parts: String(line[line.index(after: equals)...])) }
        }
    }

    private mutating func add(_ texts: some Sequence<String>) {
        for text in texts where !text.isEmpty { all.insert(text) }
    }

    /// A text, and the keys in it: `a=base64:…,b=base64:…`.
    private mutating func add(parts text: String) {
        add([text, String(text.filter { !$0.isWhitespace })])
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let value = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            add([String(part)] + value.dropFirst().map(String.init))
            add(value.dropFirst().map { String($0.hasPrefix("base64:") ? $0.dropFirst(7) : $0) })
        }
    }

    /// Of what is not shown of a configuration, and of URLs in it user, password and query.
    private mutating func addTexts(of tree: JSONValue, at path: [String]) {
        switch tree {
        case .object(let object):
            for member in object.members { addTexts(of: member.value, at: path + [member.name]) }
        case .array(let entries):
            for entry in entries { addTexts(of: entry, at: path) }
        case .string(let text):
            let isSecret = Settings.key(at: path)?.isSecret ?? true
            if isSecret { add(parts: text) }
            addURL(text, isSecret)
        default: break
        }
    }

    private mutating func addURL(_ text: String, _ isSecret: Bool) {
        let steps = text.split(separator: ":", maxSplits: 1)
        guard steps.count == 2, steps[1].hasPrefix("//") else { return }
        var rest = steps[1].dropFirst(2)
        if let at = rest.lastIndex(of: "@") {
            let user = rest[..<at]
            for part in [user] + user.split(separator: ":", maxSplits: 1).dropFirst() {
                add([String(part), PercentEncoding.decode(part) ?? String(part)])
            }
            rest = rest[rest.index(after: at)...]
        }
        if isSecret, let slash = rest.firstIndex(of: "/") { add([String(rest[slash...].dropFirst())]) }
        guard let mark = rest.firstIndex(of: "?") else { return }
        for part in rest[mark...].dropFirst().split(separator: "&") { add(parts: String(part)) }
    }

    private mutating func addTenants(_ path: String) {
        let text = File.text(path, limit: TenantFile.limit) ?? ""
        guard let tree = try? JSONValue(toml: text, path: path) else { return add(brokenConfiguration: text) }
        addTexts(of: tree, at: ["tenants file"])
    }

    /// The lines of a private key.
    private func lines(of path: String) -> [String] {
        (File.text(path, limit: 1 << 20) ?? "").split(whereSeparator: \.isNewline).map(String.init).filter {
            !$0.hasPrefix("-----")
        }
    }

    private static let words = [
        "SECRET", "TOKEN", "PASSW", "KEY", "CREDENTIAL", "AUTH", "DSN", "WEBHOOK", "HEADERS", "COOKIE",
    ]

    private static func isSecret(_ variable: String) -> Bool {
        ["OPENSANDBOX_", "OPEN_SANDBOX_", "SANDBOX_", "OTEL_"].contains { variable.hasPrefix($0) }
            || words.contains { variable.uppercased().holds($0) }
    }
}
