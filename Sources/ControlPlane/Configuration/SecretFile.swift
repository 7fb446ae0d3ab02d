import FoundationEssentials
import SecureAccess

#if canImport(Glibc)
    import Glibc
#endif

/// Secrets that the server makes for itself, one a file: mode 0600 in a folder of mode 0700.
struct SecretFile: Sendable {
    let path: String

    init(folder: String, name: String) { path = folder + "/" + name }

    /// The secret kept here, or a new one of `make`, which is kept from then on.
    ///
    /// Two programs that start together get the same one: the file appears whole, under its name, once.
    func load(or make: () -> String) throws(ConfigurationError) -> String {
        if let text = read() { return text }
        let folder = String(path[..<path.lastIndex(of: "/")!])
        try? FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let temporary = path + ".\(getpid())"
        defer { unlink(temporary) }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure("cannot be written") }
        let bytes = Array((make() + "\n").utf8)
        let written = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        guard written, link(temporary, path) == 0 || errno == EEXIST else { throw failure("cannot be written") }
        guard let text = read() else { throw failure("cannot be read") }
        return text
    }

    private func read() -> String? {
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
    /// Endpoint credentials are derived from it.
    var credentialKey: [UInt8]

    /// The configured secrets, and kept ones where none are configured.
    static func load(_ settings: Settings) throws(ConfigurationError) -> Secrets {
        let folder = settings.secretsFolder
        func file(_ name: String) -> SecretFile { SecretFile(folder: folder, name: name) }
        var apiKey = settings.server.apiKey ?? ""
        if settings.server.apiKey == nil { apiKey = try file("api-key").load { hexadecimal(SecureRandom.bytes(32)) } }
        let credentialKey = try file("credential-key").load { hexadecimal(SecureRandom.bytes(32)) }
        var keys = settings.gateway.keys
        if keys == nil {
            let text = try file("route-keys").load {
                "a=base64:" + Data(SecureRandom.bytes(32)).base64EncodedString()
            }
            do { keys = try KeyRing.parse(text) } catch {
                throw ConfigurationError("\(folder)/route-keys: \(error)")
            }
        }
        return Secrets(
            apiKey: apiKey.isEmpty ? nil : apiKey, keys: LiveKeys(keys!), credentialKey: Array(credentialKey.utf8))
    }

    static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
