import FoundationEssentials
import SecureAccess

#if canImport(Glibc)
    import Glibc
#endif

/// Secrets that the server makes for itself, one a file: mode 0600 in a folder of mode 0700.
struct SecretFile: Sendable {
    let path: String

    init(folder: String, name: String) { path = folder + "/" + name }
    init(path: String) { self.path = path }

    private var folder: String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "./" }

    /// The secret kept here, or a new one of `make`, which is kept from then on.
    ///
    /// Two programs that start together get the same one: the file appears whole, under its name, once.
    func load(or make: () -> String) throws(ConfigurationError) -> String {
        if let text = read() { return text }
        try? FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let temporary = path + ".\(getpid())"
        defer { unlink(temporary) }
        try write(make(), to: temporary)
        guard link(temporary, path) == 0 || errno == EEXIST else { throw failure("cannot be written") }
        guard let text = read() else { throw failure("cannot be read") }
        return text
    }

    /// Puts `change` of the secret in its place: who reads gets the old one or the new one, whole. Two who change it come
    /// one after the other.
    func replace(_ change: (String) throws(ConfigurationError) -> String) throws(ConfigurationError) {
        let folder = open(self.folder, O_RDONLY | O_CLOEXEC)
        guard folder >= 0, flock(folder, LOCK_EX) == 0 else { throw failure("cannot be locked") }
        defer { close(folder) }
        guard let old = read() else { throw failure("cannot be read") }
        let temporary = path + ".\(getpid())"
        defer { unlink(temporary) }
        try write(try change(old), to: temporary)
        guard rename(temporary, path) == 0, fsync(folder) == 0 else { throw failure("cannot be written") }
    }

    private func write(_ text: String, to file: String) throws(ConfigurationError) {
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot be written") }
        let bytes = Array((text + "\n").utf8)
        let isWritten = Glibc.write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard isWritten else { throw failure("cannot be written") }
    }

    func read() -> String? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let text = String(decoding: data, as: UTF8.self).filter { !$0.isWhitespace }
        return text.isEmpty ? nil : text
    }

    private func failure(_ what: String) -> ConfigurationError {
        ConfigurationError("\(path) \(what): \(String(cString: strerror(errno)))")
    }
}

/// What the server signs and is opened with.
struct Secrets: Sendable {
    /// nil: no key is asked for.
    var apiKey: String?
    var keys: LiveKeys
    /// Where the keys are kept; nil where they are configured.
    var keyFile: KeyFile?
    /// Endpoint credentials are derived from it.
    var credentialKey: [UInt8]
    /// What gateways in other processes show to the directory.
    var directory: String
    /// Where the API key is kept; nil where it is configured.
    var apiKeyFile: String?
    /// Which of the kept ones were missing, and are new.
    var made: [String] = []

    static func directoryFile(_ settings: Settings) -> SecretFile {
        SecretFile(folder: settings.secretsFolder, name: "directory-secret")
    }

    /// The configured secrets, and kept ones where none are configured.
    static func load(_ settings: Settings) throws(ConfigurationError) -> Secrets {
        let folder = settings.secretsFolder
        func file(_ name: String) -> SecretFile { SecretFile(folder: folder, name: name) }
        let names = ["api-key", "credential-key", "route-keys", "directory-secret"]
        let isConfigured = ["api-key": settings.server.apiKey != nil, "route-keys": settings.gateway.keys != nil]
        let made = names.filter { isConfigured[$0] != true && file($0).read() == nil }
        var apiKey = settings.server.apiKey ?? ""
        if settings.server.apiKey == nil { apiKey = try file("api-key").load { hexadecimal(SecureRandom.bytes(32)) } }
        let credentialKey = try file("credential-key").load { hexadecimal(SecureRandom.bytes(32)) }
        let keyFile = settings.gateway.keys == nil ? KeyFile(settings) : nil
        var keys = settings.gateway.keys
        if keys == nil { keys = try keyFile!.loadOrMake() }
        return Secrets(
            apiKey: apiKey.isEmpty ? nil : apiKey, keys: LiveKeys(keys!), keyFile: keyFile,
            credentialKey: Array(credentialKey.utf8),
            directory: try directoryFile(settings).load { hexadecimal(SecureRandom.bytes(32)) },
            apiKeyFile: settings.server.apiKey == nil ? file("api-key").path : nil, made: made)
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
