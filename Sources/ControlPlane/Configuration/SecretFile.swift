import FoundationEssentials
import SecureAccess
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A secret that the server generates, in its own file: mode 0600 in a folder of mode 0700.
struct SecretFile: Sendable {
    let path: String

    init(folder: String, name: String) { path = folder + "/" + name }
    init(path: String) { self.path = path }

    private var folder: String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "./" }

    /// Reads the secret, or stores a new one from `make`.
    ///
    /// Two programs that start together get the same secret, since the file is created atomically, once.
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

    /// Replaces the secret atomically. Concurrent changes are serialised.
    func replace(_ change: (String) throws(ConfigurationError) -> String) throws(ConfigurationError) {
        let folder: FileDescriptor
        do throws(SystemCallError) { folder = try FileDescriptor(opening: self.folder, O_RDONLY) } catch {
            throw failure("cannot be locked")
        }
        guard flock(folder.number, LOCK_EX) == 0 else { throw failure("cannot be locked") }
        guard let old = read() else { throw failure("cannot be read") }
        let temporary = path + ".\(getpid())"
        defer { unlink(temporary) }
        try write(try change(old), to: temporary)
        guard rename(temporary, path) == 0, fsync(folder.number) == 0 else { throw failure("cannot be written") }
    }

    private func write(_ text: String, to file: String) throws(ConfigurationError) {
        do throws(SystemCallError) {
            try File.write(Array((text + "\n").utf8), to: file, mode: 0o600, synchronizes: true)
        } catch {
            throw ConfigurationError("\(path) cannot be written: \(error)")
        }
    }

    func read() -> String? {
        guard let text = File.text(path)?.filter({ !$0.isWhitespace }), !text.isEmpty else { return nil }
        return text
    }

    private func failure(_ what: String) -> ConfigurationError {
        ConfigurationError("\(path) \(what): \(String(cString: strerror(errno)))")
    }
}

/// The server's secrets.
struct Secrets: Sendable {
    /// nil if no key is needed.
    var apiKey: String?
    var keys: LiveKeys
    /// The file of the keys; nil if they are configured.
    var keyFile: KeyFile?
    /// The key from which endpoint credentials are derived.
    var credentialKey: [UInt8]
    /// The secret that gateways in other processes present to the directory.
    var directory: String
    /// The file of the API key; nil if it is configured.
    var apiKeyFile: String?
    /// The names of stored secrets that were missing and have been created.
    var made: [String] = []

    static func directoryFile(_ settings: Settings) -> SecretFile {
        SecretFile(folder: settings.secretsFolder, name: "directory-secret")
    }

    static func apiKeyFile(_ settings: Settings) -> SecretFile {
        SecretFile(folder: settings.secretsFolder, name: "api-key")
    }

    /// The configured key, else the stored one, which is made where there is none; nil where no key is asked for.
    static func apiKey(_ settings: Settings) throws(ConfigurationError) -> String? {
        let key =
            if let key = settings.server.apiKey { key } else {
                try apiKeyFile(settings).load { hexadecimal(SecureRandom.bytes(32)) }
            }
        return key.isEmpty ? nil : key
    }

    /// Loads the secrets: configured ones, else stored ones.
    static func load(_ settings: Settings) throws(ConfigurationError) -> Secrets {
        let folder = settings.secretsFolder
        func file(_ name: String) -> SecretFile { SecretFile(folder: folder, name: name) }
        let names = ["api-key", "credential-key", "route-keys", "directory-secret"]
        let isConfigured = ["api-key": settings.server.apiKey != nil, "route-keys": settings.gateway.keys != nil]
        let made = names.filter { isConfigured[$0] != true && file($0).read() == nil }
        let apiKey = try apiKey(settings)
        let credentialKey = try file("credential-key").load { hexadecimal(SecureRandom.bytes(32)) }
        let keyFile = settings.gateway.keys == nil ? KeyFile(settings) : nil
        var keys = settings.gateway.keys
        if keys == nil { keys = try keyFile!.loadOrMake() }
        return Secrets(
            apiKey: apiKey, keys: LiveKeys(keys!), keyFile: keyFile,
            credentialKey: Array(credentialKey.utf8),
            directory: try directoryFile(settings).load { hexadecimal(SecureRandom.bytes(32)) },
            apiKeyFile: settings.server.apiKey == nil ? file("api-key").path : nil, made: made)
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
