import FoundationEssentials
import JSON
import SecureAccess
import System

/// What a key allows; each allows what those before it do.
package enum KeyScope: String, Codable, Hashable, Sendable, CaseIterable, Comparable {
    /// To look at all sandboxes, but at nothing that opens one.
    case read
    /// To make, use and change its own sandboxes.
    case operate
    /// Everything, of every sandbox.
    case admin

    package static func < (left: KeyScope, right: KeyScope) -> Bool { left.rank < right.rank }
    private var rank: Int { Self.allCases.firstIndex(of: self)! }
}

/// A named API key as it is kept: with the hash of its text, which nobody can turn back.
///
/// The text is `sp_<id>_<secret>`. The id says which key it is, so that one is looked up by what is no secret; the secret has
/// 256 random bits, for which a plain SHA-256 is as good as a slow one.
package struct APIKey: Codable, Hashable, Sendable {
    /// 16 hexadecimal digits.
    package var id: String
    package var name: String
    package var scope: KeyScope
    /// SHA-256 of the text, in hexadecimal digits.
    package var hash: String
    package var createdAt: Timestamp
    /// The secret before the last rotation, where it is still taken.
    package var former: Former?

    package struct Former: Codable, Hashable, Sendable {
        /// As the key's own.
        var hash: String
        package var until: Timestamp
    }

    private static let prefix = "sp"
    private static let idLength = 16
    /// The longest text that is looked at.
    private static let textLength = prefix.utf8.count + idLength + 64 + 2

    /// - Returns: a new key, and its text, which is kept nowhere.
    static func make(_ name: String, _ scope: KeyScope, at now: Timestamp = .now()) -> (key: APIKey, text: String) {
        let id = Secrets.hexadecimal(SecureRandom.bytes(idLength / 2))
        let text = "\(prefix)_\(id)_\(Secrets.hexadecimal(SecureRandom.bytes(32)))"
        return (APIKey(id: id, name: name, scope: scope, hash: hash(text), createdAt: now), text)
    }

    /// The id that a text names; nil if it is no key's.
    static func id(of text: String) -> String? {
        guard text.utf8.count == textLength else { return nil }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == prefix, parts[1].utf8.count == idLength else { return nil }
        return String(parts[1])
    }

    /// Another secret of the same key, whose id, name and sandboxes stay.
    /// - Parameter kept: seconds that the present one is still taken.
    /// - Returns: the new text.
    mutating func rotate(keeping kept: Int, at now: Timestamp) -> String {
        let text = "\(Self.prefix)_\(id)_\(Secrets.hexadecimal(SecureRandom.bytes(32)))"
        former = kept > 0 ? Former(hash: hash, until: now.adding(seconds: kept)) : nil
        hash = Self.hash(text)
        return text
    }

    /// Whether a text is the key's now. Both hashes are compared, whether there are two or not.
    func opens(_ text: String, at now: Timestamp) -> Bool {
        let presented = Self.hash(text)
        let isPresent = ConstantTime.areEqual(presented, hash)
        let isFormer = ConstantTime.areEqual(presented, former?.hash ?? Self.nobodys)
        return isPresent || (isFormer && former.map { now < $0.until } ?? false)
    }

    /// Of no text.
    static let nobodys = String(repeating: "-", count: 64)

    static func hash(_ text: String) -> String { Secrets.hexadecimal(SHA256Digest.of(Array(text.utf8))) }

    /// Names are labels, so that they read alike everywhere.
    static func isName(_ name: String) -> Bool {
        !name.isEmpty && MetadataLabel.problem(key: "key", value: name) == nil && !reserved.contains(name)
            && !(name.utf8.count == idLength && name.allSatisfy(\.isHexDigit))
    }

    /// Words of the audit log's own. An id is no name either: it would be another key's where one is revoked.
    private static let reserved: Set = ["unknown", "anybody", "server.api_key"]
}

/// The named keys of a server: a value that is read from its file as a whole.
package struct APIKeys: Hashable, Sendable {
    package private(set) var all: [APIKey]

    static let none = APIKeys(all: [])
    /// More names than anybody keeps apart.
    static let most = 1000

    private init(all: [APIKey]) { self.all = all }

    /// - Throws: a sentence about what is wrong. No part of the text is in it.
    init(json: String) throws(ConfigurationError) {
        guard let keys = try? JSONValue(json.utf8).decode([APIKey].self) else {
            throw ConfigurationError("it is not a list of keys")
        }
        guard keys.count <= Self.most, Set(keys.map(\.id)).count == keys.count,
            Set(keys.map(\.name)).count == keys.count,
            keys.allSatisfy({
                APIKey.isName($0.name) && $0.hash.utf8.count == 64 && $0.id.utf8.count == 16
                    && $0.former.map { $0.hash.utf8.count == 64 } ?? true
            })
        else { throw ConfigurationError("a key in it has an invalid name or id, or two keys have the same one") }
        all = keys
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return (try? encoder.encode(all)).map { String(decoding: $0, as: UTF8.self) } ?? "[]"
    }

    /// The key of a text. Hashes are compared whether there is such a key or not.
    func key(of text: String, at now: Timestamp = .now()) -> APIKey? {
        let found = APIKey.id(of: text).flatMap { id in all.first { $0.id == id } }
        let isRight = (found ?? Self.nobody).opens(text, at: now)
        return isRight ? found : nil
    }

    private static let nobody = APIKey(
        id: "", name: "", scope: .read, hash: APIKey.nobodys, createdAt: Timestamp(microseconds: 0))

    /// - Returns: the text of the new key.
    mutating func create(_ name: String, _ scope: KeyScope, at now: Timestamp = .now()) throws(ConfigurationError)
        -> String
    {
        guard APIKey.isName(name) else {
            throw ConfigurationError(
                "a name is 1 to 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit")
        }
        guard !all.contains(where: { $0.name == name }) else {
            throw ConfigurationError("there is a key \(name) already; revoke it first, or take another name")
        }
        guard all.count < Self.most else { throw ConfigurationError("there are \(Self.most) keys: revoke some") }
        let (key, text) = APIKey.make(name, scope, at: now)
        all.append(key)
        return text
    }

    /// - Parameters:
    ///   - name: or an id.
    ///   - kept: seconds that the present secret is still taken. The one before it no longer is.
    /// - Returns: the key's new text.
    mutating func rotate(
        _ name: String, keeping kept: Int = 0, at now: Timestamp = .now()
    ) throws(ConfigurationError) -> String { all[try place(of: name)].rotate(keeping: kept, at: now) }

    /// - Parameter name: or an id.
    mutating func revoke(_ name: String) throws(ConfigurationError) {
        all.remove(at: try place(of: name))
    }

    private func place(of name: String) throws(ConfigurationError) -> Int {
        guard let place = all.firstIndex(where: { $0.name == name || $0.id == name }) else {
            throw ConfigurationError("there is no key \(name.prefix(64)); `sallyport key list` shows them")
        }
        return place
    }
}
