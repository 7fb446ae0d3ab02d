import Logging
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The file of a server's named keys, which the command line changes while servers run.
package struct APIKeyFile: Sendable {
    package let path: String
    private var file: SecretFile { SecretFile(path: path) }

    package init(_ settings: Settings) { self.init(path: settings.secretsFolder + "/api-keys") }
    init(path: String) { self.path = path }

    /// Bytes of as many keys as there may be, and more.
    private static let limit = 1 << 20

    /// - Returns: no keys if there is no file.
    package func load() throws(ConfigurationError) -> APIKeys {
        let bytes: [UInt8]?
        do throws(SystemCallError) { bytes = try File.readIfPresent(path, limit: Self.limit) } catch {
            throw ConfigurationError("\(path) cannot be read: \(error)")
        }
        return try bytes.map { (bytes) throws(ConfigurationError) in try parse(String(decoding: bytes, as: UTF8.self)) }
            ?? .none
    }

    /// - Returns: the text of the new key, which is kept nowhere.
    package func create(_ name: String, _ scope: KeyScope) throws(ConfigurationError) -> String {
        _ = try file.load { APIKeys.none.json }
        var made = ""
        try change { keys throws(ConfigurationError) in made = try keys.create(name, scope) }
        return made
    }

    package func revoke(_ name: String) throws(ConfigurationError) {
        try requireFile()
        try change { keys throws(ConfigurationError) in try keys.revoke(name) }
    }

    /// - Parameter kept: seconds that the present secret is still taken.
    /// - Returns: the new text of the key, which is kept nowhere.
    package func rotate(_ name: String, keeping kept: Int) throws(ConfigurationError) -> String {
        try requireFile()
        var made = ""
        try change { keys throws(ConfigurationError) in made = try keys.rotate(name, keeping: kept) }
        return made
    }

    private func requireFile() throws(ConfigurationError) {
        guard access(path, F_OK) == 0 || errno != ENOENT else {
            throw ConfigurationError("there are no keys: \(path) is not there")
        }
    }

    private func change(_ body: (inout APIKeys) throws(ConfigurationError) -> Void) throws(ConfigurationError) {
        try file.replace { text throws(ConfigurationError) in
            var keys = try parse(text)
            try body(&keys)
            return keys.json
        }
    }

    private func parse(_ text: String) throws(ConfigurationError) -> APIKeys {
        do throws(ConfigurationError) { return try APIKeys(json: text) } catch {
            throw ConfigurationError("\(path): \(error)")
        }
    }

    /// Takes what the file says, at once and whenever it changes, until the task is cancelled. A file that cannot be used
    /// changes nothing; one that is gone revokes all keys.
    func follow(_ keys: LiveAPIKeys, _ logger: Logger) async {
        await FileChanges(path: path).follow {
            do throws(ConfigurationError) {
                let read = try load()
                guard read != keys.current else { return true }
                keys.replace(with: read)
                logger.info("API keys changed", metadata: ["keys": "\(read.all.count)"])
                return true
            } catch {
                logger.error(
                    "the file of API keys cannot be used; the previous keys stay in force",
                    metadata: ["error": "\(error)"])
                return false
            }
        }
    }
}

/// The keys in force.
final class LiveAPIKeys: Sendable {
    private let keys: Mutex<(current: APIKeys, former: APIKeys)>

    init(_ keys: APIKeys = .none) { self.keys = Mutex((keys, .none)) }

    var current: APIKeys { keys.withLock { $0.current } }
    /// Those before the last change: whose request it was that a revoked key began.
    var former: APIKeys { keys.withLock { $0.former } }
    func replace(with keys: APIKeys) { self.keys.withLock { $0 = (keys, $0.current) } }
}
