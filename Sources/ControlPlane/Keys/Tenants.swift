import JSON
import Logging
import SecureAccess
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The tenants of a server and their API keys, as the contract's file has them (`[[tenants]]` with `name`, `namespace` and
/// `api_keys`). A tenant makes, uses and sees what belongs to its namespace, and nothing else.
///
/// Of the keys only hashes are kept in memory.
struct Tenants: Hashable, Sendable {
    private struct Tenant: Hashable, Sendable {
        var name: String
        var namespace: String
    }

    /// By the hash of a key.
    private var tenants: [String: Tenant] = [:]

    static let none = Tenants()
    private static let most = 10_000

    private init() {}

    var count: Int { Set(tenants.values).count }

    /// - Parameter serverKey: the server's own, which would make a tenant an administrator.
    /// - Throws: a sentence about what is wrong. No key is in it.
    init(toml: String, serverKey: String? = nil) throws(ConfigurationError) {
        let tree: JSONValue
        // What the reader says of a text may repeat it.
        do { tree = try JSONValue(toml: toml, path: "it") } catch { throw ConfigurationError("it is not TOML") }
        guard case .object(let root) = tree else { throw ConfigurationError("it is not a table") }
        guard let list = root["tenants"] else {
            guard root.members.isEmpty else { throw ConfigurationError("it has no [[tenants]]") }
            return
        }
        guard case .array(let entries) = list else {
            throw ConfigurationError("tenants is a list of tables: [[tenants]]")
        }
        for (place, entry) in entries.enumerated() {
            let path = "tenants.\(place)"
            guard case .object(let table) = entry else { throw ConfigurationError("\(path) is not a table") }
            guard case .string(let name)? = table["name"], Self.isName(name) else {
                throw ConfigurationError("\(path).name: use 1 to 63 letters, digits, '-', '_' and '.'")
            }
            guard case .string(let namespace)? = table["namespace"], PoolRequest.isName(namespace) else {
                throw ConfigurationError("\(path).namespace: use lower-case letters, digits and hyphens")
            }
            guard case .array(let keys)? = table["api_keys"], !keys.isEmpty else {
                throw ConfigurationError("\(path).api_keys: use a list of strings that are not empty")
            }
            for key in keys {
                guard case .string(let text) = key, !text.isEmpty, text.utf8.count <= 1024 else {
                    throw ConfigurationError("\(path).api_keys: use a list of strings that are not empty")
                }
                guard text != serverKey else {
                    throw ConfigurationError("\(path).api_keys has the server's own key: give the tenant another one")
                }
                guard tenants.updateValue(Tenant(name: name, namespace: namespace), forKey: APIKey.hash(text)) == nil
                else { throw ConfigurationError("\(path).api_keys has a key that is there twice") }
            }
            guard tenants.count <= Self.most else { throw ConfigurationError("it has more than \(Self.most) keys") }
        }
    }

    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && MetadataLabel.problem(key: "key", value: name) == nil
    }

    /// Who has a key; nil for nobody. It is looked up by its hash, whose comparison tells nothing of the key.
    func caller(of text: String) -> Caller? {
        guard !tenants.isEmpty, let tenant = tenants[APIKey.hash(text)] else { return nil }
        return Self.caller(name: tenant.name, namespace: tenant.namespace)
    }

    static func caller(name: String, namespace: String) -> Caller {
        Caller(name: "tenant:\(name)", key: "tenant:\(namespace)", scope: .operate)
    }
}

/// The file of tenants, which is looked at while the server runs.
struct TenantFile: Sendable {
    let path: String
    /// Asked for at each reading; nil if there is none.
    var serverKey: @Sendable () -> String? = { nil }
    /// Bytes.
    static let limit = 4 << 20

    /// - Returns: none if there is no file.
    func load() throws(ConfigurationError) -> Tenants {
        let bytes: [UInt8]?
        do throws(SystemCallError) { bytes = try File.readIfPresent(path, limit: Self.limit) } catch {
            throw ConfigurationError("\(path) cannot be read: \(error)")
        }
        guard let bytes else { return .none }
        do throws(ConfigurationError) {
            return try Tenants(toml: String(decoding: bytes, as: UTF8.self), serverKey: serverKey())
        } catch {
            throw ConfigurationError("\(path): \(error)")
        }
    }

    /// Takes what the file says, at once and whenever it changes, until the task is cancelled. A file that cannot be used changes
    /// nothing; one that is gone takes all keys back.
    func follow(_ tenants: LiveTenants, _ logger: Logger) async {
        await FileChanges(path: path).follow {
            do throws(ConfigurationError) {
                let read = try load()
                guard read != tenants.current else { return true }
                tenants.replace(with: read)
                logger.info("tenants changed", metadata: ["tenants": "\(read.count)"])
                return true
            } catch {
                logger.error(
                    "the file of tenants cannot be used; the previous ones stay in force",
                    metadata: ["error": "\(error)"])
                return false
            }
        }
    }

    /// Says what an operator would want to know of the file at the start.
    func warn(_ logger: Logger) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            return logger.warning(
                "there is no file of tenants: no tenant's key is accepted", metadata: ["file": "\(path)"])
        }
        guard status.st_mode & 0o077 != 0 else { return }
        logger.warning(
            "others than its owner may read the keys of tenants: use chmod 600", metadata: ["file": "\(path)"])
    }
}

/// The tenants in force.
final class LiveTenants: Sendable {
    private let tenants: Mutex<Tenants>

    init(_ tenants: Tenants = .none) { self.tenants = Mutex(tenants) }

    var current: Tenants { tenants.withLock { $0 } }
    func replace(with tenants: Tenants) { self.tenants.withLock { $0 = tenants } }
}
