import NetworkPolicy

/// A question, whoever asked it.
struct CacheKey: Hashable, Sendable {
    var name: DomainName
    var type: UInt16
}

/// A cache of answers that all sandboxes share; every answer from it still passes the sandbox's own policy. Bounded in
/// entries and bytes, least recently used out first. Times are whole seconds of a monotonic clock.
///
/// Entries are in one array and linked by index, most recently used first.
struct AnswerCache: Sendable {
    private struct Entry {
        var key: CacheKey
        var answer: Answer
        /// The answer encoded in advance. Only for short ones, since it doubles the memory.
        var encoded: EncodedAnswer?
        var serial: UInt64
        var stored: UInt64
        var expiry: UInt64
        var bytes: Int
        var newer: Int32
        var older: Int32
    }

    /// RFC 9520: failures are cached, so that they are not repeated upstream at once. One second at first, then twice
    /// as long each time the failure persists.
    static let firstFailureLifetime: UInt64 = 1
    static let maxFailureLifetime: UInt64 = 30
    private static let none: Int32 = -1
    private static let maxTwice = 1024

    let capacity: Int
    let capacityBytes: Int
    private(set) var bytes = 0
    private var entries: [Entry] = []
    private var free: [Int32] = []
    private var index: [CacheKey: Int32] = [:]
    private var newest = Self.none
    private var oldest = Self.none
    private var lastSerial: UInt64 = 0

    /// An answer that still holds.
    struct Hit: Sendable {
        /// Unique for each time an answer is stored.
        var serial: UInt64
        /// Seconds since it was stored.
        var age: UInt32
        fileprivate var place: Int32
    }

    init(capacity: Int, bytes: Int = .max) {
        self.capacity = capacity
        capacityBytes = bytes
    }

    var count: Int { index.count }

    /// A valid answer. The index is valid until the next `store`.
    mutating func find(_ key: CacheKey, now: UInt64) -> Hit? {
        guard let place = index[key], entries[Int(place)].expiry > now else { return nil }
        if place != newest {
            unlink(place)
            link(place)
        }
        return Hit(
            serial: entries[Int(place)].serial, age: UInt32(clamping: now - entries[Int(place)].stored),
            place: place)
    }

    func answer(_ hit: Hit) -> Answer { entries[Int(hit.place)].answer }
    func encoded(_ hit: Hit) -> EncodedAnswer {
        let entry = entries[Int(hit.place)]
        return entry.encoded ?? EncodedAnswer(entry.answer, question: entry.key.name)
    }

    /// A valid answer, and its age in seconds.
    mutating func answer(_ key: CacheKey, now: UInt64) -> (answer: Answer, age: UInt32)? {
        find(key, now: now).map { (answer($0), $0.age) }
    }

    mutating func store(_ answer: Answer, for key: CacheKey, now: UInt64) {
        let lifetime =
            answer.code == .serverFailure
            ? failureLifetime(key, now) : UInt64(answer.lifetime(isNegative: answer.isNegative(type: key.type)))
        if let place = index[key] { remove(place) }
        guard capacity > 0, lifetime > 0 else { return }
        let answer = answer.sharing(key.name)
        var size = Self.size(key, answer)
        let encoded: EncodedAnswer? = size < Self.maxTwice ? EncodedAnswer(answer, question: key.name) : nil
        size += encoded?.size ?? 0
        // A single answer must not evict all others.
        guard size <= capacityBytes / 8 else { return }
        while index.count >= capacity || bytes > capacityBytes - size { remove(oldest) }
        lastSerial += 1
        let entry = Entry(
            key: key, answer: answer, encoded: encoded, serial: lastSerial, stored: now, expiry: now + lifetime,
            bytes: size, newer: Self.none, older: Self.none)
        let place: Int32
        if let known = free.popLast() {
            place = known
            entries[Int(place)] = entry
        } else {
            place = Int32(entries.count)
            entries.append(entry)
        }
        index[key] = place
        bytes += size
        link(place)
    }

    /// Twice the lifetime of the last failure, if that was recent.
    private func failureLifetime(_ key: CacheKey, _ now: UInt64) -> UInt64 {
        guard let place = index[key], entries[Int(place)].answer.code == .serverFailure else {
            return Self.firstFailureLifetime
        }
        let entry = entries[Int(place)]
        guard now < entry.expiry + Self.maxFailureLifetime else { return Self.firstFailureLifetime }
        return min(2 * (entry.expiry - entry.stored), Self.maxFailureLifetime)
    }

    private mutating func remove(_ place: Int32) {
        unlink(place)
        bytes -= entries[Int(place)].bytes
        index[entries[Int(place)].key] = nil
        entries[Int(place)].answer = .empty
        entries[Int(place)].encoded = nil
        free.append(place)
    }

    private mutating func link(_ place: Int32) {
        entries[Int(place)].older = newest
        entries[Int(place)].newer = Self.none
        if newest >= 0 { entries[Int(newest)].newer = place } else { oldest = place }
        newest = place
    }

    private mutating func unlink(_ place: Int32) {
        let (newer, older) = (entries[Int(place)].newer, entries[Int(place)].older)
        if newer >= 0 { entries[Int(newer)].older = older } else { newest = older }
        if older >= 0 { entries[Int(older)].newer = newer } else { oldest = newer }
    }

    /// Roughly the memory of an entry: each name and each record's data is a separate array.
    private static func size(_ key: CacheKey, _ answer: Answer) -> Int {
        let array = 48
        let records = answer.records + (answer.authority.map { [$0] } ?? [])
        return 256 + array + key.name.wire.count
            + records.reduce(0) { $0 + 32 + 2 * array + $1.owner.count + $1.data.count }
    }
}
