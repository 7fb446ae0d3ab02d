import FoundationEssentials
import Runtimes
import SecureAccess
import Spelling

/// A pool of sandboxes that are made ahead of their use (docs/pools.md).
package struct Pool: Codable, Hashable, Sendable, Identifiable {
    package var name: String
    package var id: String { name }
    var template: PoolTemplate
    var capacity: PoolCapacity
    package var createdAt: Timestamp
}

/// What every sandbox of a pool is made with.
struct PoolTemplate: Codable, Hashable, Sendable {
    var image: String
    /// Of a request that names none.
    var entrypoint: [String] = Self.idle
    var environment: [ExactName: String] = [:]
    var limits: ResourceLimits = .standard

    /// What official clients ask for where their user names no program.
    static let idle = ["tail", "-f", "/dev/null"]

    /// Differs between templates.
    var revision: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Texts and numbers can always be encoded.
        return Secrets.hexadecimal(Array(SHA256Digest.of([UInt8](try! encoder.encode(self))).prefix(8)))
    }
}

/// How many sandboxes a pool has (the contract's `capacitySpec`).
struct PoolCapacity: Codable, Hashable, Sendable {
    /// Those that wait for a use: as many as `bufferMax` are made, and `bufferMin` is at most that.
    var bufferMin, bufferMax: Int
    /// Those that wait and those in use together.
    var poolMin, poolMax: Int

    /// The most that any of them may be: more sandboxes than a machine has addresses for.
    static let most = 10_000
}

/// How one pool stands. A value, so that its arithmetic can be tested without sandboxes.
struct PoolBuffer: Sendable {
    var pool: Pool
    /// Whether the configuration has it, so that requests cannot change it.
    var isConfigured = false
    /// Ids of those that wait, the oldest first.
    private(set) var available: [String] = []
    private(set) var making: Set<String> = []
    private(set) var allocated: Set<String> = []
    /// Whether one has been made from its template, so that its image is known to be here.
    private(set) var isProven = false
    /// Those whose image is no longer what its name means. They are to be removed, and others made.
    private(set) var outdated: [String] = []
    /// The image that each of those that wait was made from (`SandboxPlacement.image`), where that is known.
    private var images: [String: ImageRevision] = [:]

    init(_ pool: Pool, isConfigured: Bool = false) { (self.pool, self.isConfigured) = (pool, isConfigured) }

    var total: Int { available.count + making.count + allocated.count }

    /// How many are to wait.
    private var wanted: Int { max(pool.capacity.bufferMax, pool.capacity.poolMin - allocated.count) }

    /// How many are to be made now.
    var missing: Int { max(0, min(wanted - available.count - making.count, pool.capacity.poolMax - total)) }

    /// How many of those that wait are too many.
    var surplus: Int {
        min(available.count, max(0, available.count - wanted, total - pool.capacity.poolMax))
    }

    /// Takes the oldest that waits for a use. One that is handed out never comes back.
    mutating func take() -> String? {
        guard !available.isEmpty else { return nil }
        let id = available.removeFirst()
        images[id] = nil
        allocated.insert(id)
        return id
    }

    /// Makes room for one that is made for a use at once, which goes before those that are being made to wait.
    /// - Returns: false where the pool is full.
    mutating func reserve(_ id: String) -> Bool {
        guard available.count + allocated.count < pool.capacity.poolMax else { return false }
        allocated.insert(id)
        return true
    }

    mutating func began(making id: String) { making.insert(id) }

    /// - Parameter image: what it was made from; nil where that is not known.
    /// - Returns: whether it is now one of those that wait; else nobody wants it.
    mutating func made(_ id: String, from image: ImageRevision? = nil) -> Bool {
        guard making.remove(id) != nil else { return false }
        isProven = true
        guard available.count < wanted, total < pool.capacity.poolMax else { return false }
        available.append(id)
        images[id] = image
        return true
    }

    /// The pool's image is now this one: those that wait and were made from another are no longer handed out.
    /// - Returns: how many there are of them.
    mutating func imageIs(_ image: ImageRevision) -> Int {
        let old = available.filter { images[$0].map { $0 != image } ?? false }
        guard !old.isEmpty else { return 0 }
        available.removeAll(where: old.contains)
        for id in old { images[id] = nil }
        outdated += old
        return old.count
    }

    mutating func gaveUp(making id: String) {
        making.remove(id)
        isProven = false
    }

    /// Takes away one that is outdated or too many, of these the newest.
    mutating func shed() -> String? {
        if let old = outdated.popLast() { return old }
        guard surplus > 0 else { return nil }
        let id = available.removeLast()
        images[id] = nil
        return id
    }

    /// Takes away all that nobody has.
    mutating func empty() -> [String] {
        defer { (available, outdated, images) = ([], [], [:]) }
        return available + outdated
    }

    /// - Returns: whether it was one of those that wait, or that are being made.
    mutating func lost(_ id: String) -> Bool {
        images[id] = nil
        if making.remove(id) != nil { return true }
        let count = available.count + outdated.count
        available.removeAll { $0 == id }
        outdated.removeAll { $0 == id }
        return available.count + outdated.count < count
    }

    mutating func use(_ id: String, isInUse: Bool) {
        if isInUse { allocated.insert(id) } else { allocated.remove(id) }
    }
}
