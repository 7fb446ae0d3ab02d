import NetworkPolicy

/// Which names were reported lately, so that a sandbox that asks for one a thousand times makes one event of it.
struct Sightings: Sendable {
    enum Outcome: Hashable, Sendable {
        case allowed, denied, wouldDeny, addressesRemoved, flowRefused
    }

    private struct Key: Hashable {
        var name: DomainName
        var outcome: Outcome
    }

    /// A denial is reported again after this many seconds; an allowed name once under a policy.
    static let repetition: UInt64 = 60

    let capacity: Int
    private var last: [Key: UInt64] = [:]

    init(capacity: Int = 256) { self.capacity = capacity }

    /// Whether this is worth an event now.
    mutating func isNews(_ name: DomainName, _ outcome: Outcome, now: UInt64) -> Bool {
        let key = Key(name: name, outcome: outcome)
        if let before = last[key], outcome == .allowed || now < before + Self.repetition { return false }
        // Too many to remember: some will be told twice.
        if last.count >= capacity { last.removeAll(keepingCapacity: true) }
        last[key] = now
        return true
    }

    /// Under another policy everything is news.
    mutating func clear() { last = [:] }
}

/// The names that resolved while a sandbox was observed.
struct ObservedNames: Sendable {
    static let capacity = 4096

    private(set) var names: Set<DomainName> = []
    /// Whether there were more than are kept.
    private(set) var isIncomplete = false

    mutating func insert(_ name: DomainName) {
        guard names.count < Self.capacity || names.contains(name) else {
            isIncomplete = true
            return
        }
        names.insert(name)
    }
}
