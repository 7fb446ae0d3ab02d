import FoundationEssentials

/// Why keys were refused. No case contains key material.
public enum KeyRingError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformedEntry(position: Int)
    case invalidKeyID(String)
    case emptyKey(Character)
    case duplicateKey(Character)
    case unknownActiveKey(Character)
    case noKeys
    case full
    case unknownKey(Character)

    public var description: String {
        switch self {
        case .malformedEntry(let position): "key \(position): write it as <id>=base64:<secret>"
        case .invalidKeyID(let text): "\"\(text)\" is not a key id: use one character of 0-9 and a-z"
        case .emptyKey(let id): "key \(id) is empty"
        case .duplicateKey(let id): "key \(id) is given twice"
        case .unknownActiveKey(let id): "the active key \(id) is not among the keys"
        case .noKeys: "no signing key is given"
        case .full: "every key id is in use: remove keys whose tokens have expired"
        case .unknownKey(let id): "there is no key \(id)"
        }
    }
}

/// The secrets that route tokens are signed with. The active key signs, and all verify. To rotate, add a new active
/// key, and remove the old one when its tokens have expired.
public struct KeyRing: Hashable, Sendable {
    public let active: Character
    private let keys: [Character: [UInt8]]
    private let activeByte: UInt8
    private let activeSecret: [UInt8]

    public init(active: Character, keys: [Character: [UInt8]]) throws(KeyRingError) {
        for (id, secret) in keys {
            guard Self.isKeyID(id) else { throw .invalidKeyID(String(id)) }
            guard !secret.isEmpty else { throw .emptyKey(id) }
        }
        guard let secret = keys[active] else { throw .unknownActiveKey(active) }
        self.active = active
        activeByte = active.asciiValue!
        activeSecret = secret
        self.keys = keys
    }

    /// Reads `a=base64:…,b=base64:…`, the form of the gateway's `--secure-access-keys`. Without `active` the first key
    /// signs.
    public static func parse(_ text: String, active: Character? = nil) throws(KeyRingError) -> KeyRing {
        var keys: [Character: [UInt8]] = [:]
        var first: Character?
        for (position, entry) in text.split(separator: ",").enumerated() {
            let parts = entry.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[1].hasPrefix("base64:") else { throw .malformedEntry(position: position) }
            guard parts[0].count == 1, let id = parts[0].first, isKeyID(id) else {
                throw .invalidKeyID(String(parts[0]))
            }
            guard let secret = Data(base64Encoded: String(parts[1].dropFirst(7))) else {
                throw .malformedEntry(position: position)
            }
            guard keys.updateValue(Array(secret), forKey: id) == nil else { throw .duplicateKey(id) }
            first = first ?? id
        }
        guard let signing = active ?? first else { throw .noKeys }
        return try KeyRing(active: signing, keys: keys)
    }

    func secret(_ id: UInt8) -> [UInt8]? { id == activeByte ? activeSecret : keys[Character(Unicode.Scalar(id))] }

    static func isKeyID(_ id: Character) -> Bool { id.asciiValue.flatMap(Base36.digit) != nil }

    // MARK: Rotation

    /// The ids, the active one first.
    public var ids: [Character] { [active] + keys.keys.filter { $0 != active }.sorted() }

    /// The form that `parse` reads, active key first. The text is secret.
    public var text: String {
        ids.map { "\($0)=base64:\(Data(keys[$0]!).base64EncodedString())" }.joined(separator: ",")
    }

    /// The ring with a new active key beside all earlier ones.
    /// - Throws: `KeyRingError.full` if all ids are taken.
    public func rotated(secret: [UInt8] = SecureRandom.bytes(32)) throws(KeyRingError) -> KeyRing {
        guard let id = "abcdefghijklmnopqrstuvwxyz0123456789".first(where: { keys[$0] == nil }) else { throw .full }
        return try KeyRing(active: id, keys: keys.merging([id: secret]) { $1 })
    }

    /// The ring without a key, for when its tokens have expired.
    public func removing(_ id: Character) throws(KeyRingError) -> KeyRing {
        guard keys[id] != nil else { throw .unknownKey(id) }
        return try KeyRing(active: active, keys: keys.filter { $0.key != id })
    }
}
