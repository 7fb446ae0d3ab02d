/// What a provider of tenants has said of keys, for a bounded time and number of keys. A value, without a clock of its own: times are
/// monotonic nanoseconds.
///
/// Keys that it knows and keys that it does not are kept apart: who sends made-up keys takes no tenant's place.
struct TenantCache: Hashable, Sendable {
    /// What may be said of a key without asking the provider.
    enum Answer: Hashable, Sendable {
        case tenant(namespace: String)
        case nobody
        /// Nothing, since there is no answer that may still be used.
        case none
    }

    private struct Known: Hashable, Sendable {
        var namespace: String
        /// When the provider is to be asked again.
        var askAgain: UInt64
        /// Until when the answer may be used if the provider gives no other.
        var end: UInt64
    }

    static let second: UInt64 = 1_000_000_000
    /// Of each kind.
    static let most = 10_000
    /// How long nobody asks again for a key that the provider does not know.
    static let unknownTime = 10 * second
    /// How long nobody asks a provider again that has not answered, or about a key of which it has said what it should not.
    static let pause = second

    /// Nanoseconds.
    let maxStale: UInt64
    private var tenants: [String: Known] = [:]
    private var unknown: [String: UInt64] = [:]
    /// Keys about which the answer could not be used.
    private var paused: [String: UInt64] = [:]
    private var downUntil: UInt64 = 0

    init(maxStale: UInt64) { self.maxStale = maxStale }

    var count: Int { tenants.count + unknown.count + paused.count }

    func answer(_ hash: String, at now: UInt64) -> Answer {
        if let known = tenants[hash], now < known.end { return .tenant(namespace: known.namespace) }
        if let end = unknown[hash], now < end { return .nobody }
        return .none
    }

    /// Whether the provider is to be asked.
    func asks(_ hash: String, at now: UInt64) -> Bool {
        guard now >= downUntil, now >= paused[hash] ?? 0 else { return false }
        if let known = tenants[hash], now < known.askAgain { return false }
        return unknown[hash].map { now >= $0 } ?? true
    }

    /// Whether it has named the key's tenant, however long ago: a made-up key has none.
    func knows(_ hash: String) -> Bool { tenants[hash] != nil }

    /// - Parameter ttl: seconds.
    mutating func learn(_ hash: String, namespace: String, ttl: UInt64, at now: UInt64) {
        (unknown[hash], paused[hash]) = (nil, nil)
        downUntil = 0
        let fresh = now &+ ttl * Self.second
        tenants[hash] = Known(namespace: namespace, askAgain: fresh, end: fresh &+ maxStale)
        Self.bound(&tenants, at: now) { $0.end }
    }

    /// The provider knows no such key, or not any more.
    mutating func learnUnknown(_ hash: String, at now: UInt64) {
        (tenants[hash], paused[hash]) = (nil, nil)
        downUntil = 0
        unknown[hash] = now &+ Self.unknownTime
        Self.bound(&unknown, at: now) { $0 }
    }

    /// It does not answer, whatever the key.
    mutating func noteOutage(at now: UInt64) { downUntil = now &+ Self.pause }

    /// It answers, but of this key not as it should: who sends such a key holds up nobody else.
    mutating func noteFailure(_ hash: String, at now: UInt64) {
        downUntil = 0
        paused[hash] = now &+ Self.pause
        Self.bound(&paused, at: now) { $0 }
    }

    /// Drops what is over, and then a quarter of the others, those first that end first.
    private static func bound<Value>(_ values: inout [String: Value], at now: UInt64, end: (Value) -> UInt64) {
        guard values.count > most else { return }
        values = values.filter { end($0.value) > now }
        guard values.count > most else { return }
        let limit = values.values.map(end).sorted()[values.count / 4]
        values = values.filter { end($0.value) > limit }
    }
}
