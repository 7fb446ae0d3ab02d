import FoundationEssentials
import Logging
import SecureAccess

/// A file with the keys of signed routes, which may be rotated while servers run: `a=base64:…,b=base64:…`, the active
/// one first.
package struct KeyFile: Sendable {
    package let path: String
    private var secret: SecretFile { SecretFile(path: path) }

    package init(path: String) { self.path = path }

    /// The file of a server.
    package init(_ settings: Settings) { path = settings.secretsFolder + "/route-keys" }

    /// Reads the key ring.
    package func load() throws(ConfigurationError) -> KeyRing {
        guard let text = secret.read() else {
            throw ConfigurationError("\(path) cannot be read: run as the server's user, or give keys")
        }
        return try parse(text)
    }

    /// Reads the key ring, or creates one with one key.
    func loadOrMake() throws(ConfigurationError) -> KeyRing {
        try parse(secret.load { "a=base64:" + Data(SecureRandom.bytes(32)).base64EncodedString() })
    }

    /// Adds a new active key. Routes signed with earlier keys stay valid.
    /// - Returns: the new ring.
    package func rotate() throws(ConfigurationError) -> KeyRing {
        var ring: KeyRing?
        try secret.replace { text throws(ConfigurationError) in
            do { ring = try parse(text).rotated() } catch { throw ConfigurationError("\(path): \(error)") }
            return ring!.text
        }
        return ring!
    }

    /// Removes a key. Routes signed with it are no longer valid.
    package func remove(_ id: Character) throws(ConfigurationError) -> KeyRing {
        var ring: KeyRing?
        try secret.replace { text throws(ConfigurationError) in
            do { ring = try parse(text).removing(id) } catch { throw ConfigurationError("\(path): \(error)") }
            return ring!.text
        }
        return ring!
    }

    private func parse(_ text: String) throws(ConfigurationError) -> KeyRing {
        do { return try KeyRing.parse(text) } catch { throw ConfigurationError("\(path): \(error)") }
    }

    /// Updates `keys` when the file changes, until the task is cancelled. A file that cannot be read changes nothing.
    func follow(_ keys: LiveKeys, _ logger: Logger) async {
        await FileChanges(path: path).follow { refresh(keys, logger) }
    }

    /// - Returns: false if it cannot be read.
    @discardableResult
    func refresh(_ keys: LiveKeys, _ logger: Logger) -> Bool {
        do throws(ConfigurationError) {
            try take(load(), into: keys, logger)
            return true
        } catch {
            logger.error(
                "the key file cannot be used; the previous signing keys stay in force", metadata: ["error": "\(error)"])
            return false
        }
    }

    /// Updates `keys` from a file that another process has read.
    func take(_ text: String, into keys: LiveKeys, _ logger: Logger) {
        do throws(ConfigurationError) {
            take(try parse(text), into: keys, logger)
        } catch {
            logger.error(
                "the key file cannot be used; the previous signing keys stay in force", metadata: ["error": "\(error)"])
        }
    }

    private func take(_ ring: KeyRing, into keys: LiveKeys, _ logger: Logger) {
        guard ring != keys.current else { return }
        keys.replace(with: ring)
        logger.info("signing keys changed", metadata: ["active": "\(ring.active)", "keys": "\(ring.ids.count)"])
    }
}
