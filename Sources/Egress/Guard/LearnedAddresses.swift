import Addresses
import NetworkPolicy

/// The addresses learned by one sandbox: a copy of the kernel's sets, with the names that each address was learned
/// from.
///
/// The kernel removes an address when its time is up. Here it stays as history while there is room, because a
/// connection may outlive its record, and a policy change must know which name opened it. Times are whole seconds of a
/// monotonic clock, passed in by the caller.
struct LearnedAddresses: Sendable {
    /// The most names kept for one address, which many may share (a CDN).
    static let maximumNamesPerAddress = 256
    /// The same once the total number of names reaches this many for each possible address.
    static let usualNamesPerAddress = 16

    struct Entry: Sendable, Hashable {
        /// The names that it was learned from, each with the time at which its record expires.
        var names: [DomainName: UInt64]
        /// When the kernel's element expires.
        var expiry: UInt64
        /// When the record expired, if only a flow keeps the address open.
        var recordEnd: UInt64?
        /// The number of its profile in the kernel; `nil` if it is certainly not there.
        var profile: UInt32?

        /// The names whose records have not expired.
        func liveNames(now: UInt64) -> [DomainName] { names.filter { $0.value > now }.map(\.key) }

        /// Whether it may still be in the kernel. The kernel's clock may differ by the fraction of a second that is not
        /// counted here.
        func mayBeInKernel(now: UInt64) -> Bool { expiry + 2 > now }
    }

    let capacity: Int
    private(set) var entries: [IPAddress: Entry] = [:]
    /// The number of names of all addresses.
    private(set) var nameCount = 0
    /// Counts names that were displaced by others before their records expired.
    private(set) var displacements: UInt64 = 0
    /// When history was last searched for room.
    private var sweptAt: UInt64?

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// Whether the kernel holds this address at `now`.
    func isLive(_ address: IPAddress, now: UInt64) -> Bool {
        entries[address].map { $0.expiry > now } ?? false
    }

    func liveCount(now: UInt64) -> Int { entries.values.count { $0.expiry > now } }

    /// The entry after learning, or `nil` if there is no room even after dropping history. Nothing is stored; `store`
    /// does that after the kernel has accepted it.
    mutating func entry(learning address: IPAddress, from name: DomainName, until expiry: UInt64, now: UInt64) -> Entry?
    {
        var entry = entries[address] ?? Entry(names: [:], expiry: expiry)
        if entries[address] == nil && entries.count >= capacity {
            // At most once a second, or a sandbox that has filled the table could delay everybody's queries.
            guard sweptAt != now else { return nil }
            sweptAt = now
            for (address, entry) in entries where !entry.mayBeInKernel(now: now) { set(nil, for: address) }
            guard entries.count < capacity else { return nil }
        }
        let most =
            nameCount < capacity * Self.usualNamesPerAddress ? Self.maximumNamesPerAddress : Self.usualNamesPerAddress
        if entry.names[name] == nil && entry.names.count >= most, let soonest = entry.names.min(by: Self.endsSooner) {
            entry.names[soonest.key] = nil
            if soonest.value > now { displacements += 1 }
        }
        entry.names[name] = max(entry.names[name] ?? 0, expiry)
        entry.expiry = max(entry.expiry, expiry)
        entry.recordEnd = nil
        return entry
    }

    /// Seconds for which learning an address from a name again would change nothing: the name's record is valid, and
    /// the kernel keeps the address for that time plus `grace`. 0 if it would change something.
    func validSeconds(of address: IPAddress, from name: DomainName, timeToLive: UInt64, grace: UInt64, now: UInt64)
        -> UInt64
    {
        guard let entry = entries[address], let record = entry.names[name], entry.profile != nil,
            entry.expiry >= now + timeToLive
        else { return 0 }
        // One less, for the fraction of a second that is not counted.
        let end = min(record, entry.expiry - min(grace, entry.expiry))
        return end > now + 1 ? end - now - 1 : 0
    }

    private static func endsSooner(
        _ left: (key: DomainName, value: UInt64), _ right: (key: DomainName, value: UInt64)
    ) -> Bool {
        left.value == right.value ? left.key.comesBefore(right.key) : left.value < right.value
    }

    mutating func store(_ entry: Entry, for address: IPAddress) { set(entry, for: address) }

    private mutating func set(_ entry: Entry?, for address: IPAddress) {
        nameCount += (entry?.names.count ?? 0) - (entries[address]?.names.count ?? 0)
        entries[address] = entry
    }

    /// Addresses that expire before `soon` and that a flow may keep open, which it may for at most `bound` seconds
    /// after the record.
    func ending(before soon: UInt64, bound: UInt64, now: UInt64) -> [IPAddress] {
        entries.filter { _, entry in
            entry.profile != nil && entry.expiry > now && entry.expiry < soon
                && now < (entry.recordEnd ?? entry.expiry) + bound
        }.map(\.key)
    }

    /// The entry with the expiry of its valid names extended; nil if none is valid. Nothing is stored.
    func entry(renewing address: IPAddress, until expiry: UInt64, now: UInt64) -> Entry? {
        guard var entry = entries[address], entry.profile != nil, entry.expiry > now, entry.expiry < expiry else {
            return nil
        }
        let names = entry.liveNames(now: now)
        guard !names.isEmpty else { return nil }
        entry.recordEnd = entry.recordEnd ?? entry.expiry
        for name in names { entry.names[name] = max(entry.names[name]!, expiry) }
        entry.expiry = expiry
        return entry
    }

    /// The addresses whose verdicts may differ after a change of policy.
    func touched(by change: TouchedTargets) -> [IPAddress: Entry] {
        if case .everything = change { return entries }
        return entries.filter { address, entry in
            change.contains(address) || entry.names.keys.contains { change.contains($0) }
        }
    }

    /// Removes names for which `isAllowed` is false from these addresses, and addresses that have none left. Returns
    /// the removed addresses, which must be removed from the kernel as well.
    mutating func retain(
        _ judged: [IPAddress: Entry], where isAllowed: (IPAddress, DomainName) -> Bool
    ) -> [IPAddress: Entry] {
        var forgotten: [IPAddress: Entry] = [:]
        for (address, entry) in judged {
            let names = entry.names.filter { isAllowed(address, $0.key) }
            if names.isEmpty {
                forgotten[address] = entry
                set(nil, for: address)
            } else if names.count != entry.names.count {
                var thinner = entry
                thinner.names = names
                set(thinner, for: address)
            }
        }
        return forgotten
    }
}

extension DomainName {
    /// An arbitrary but stable order, by wire bytes, which needs no texts.
    func comesBefore(_ other: DomainName) -> Bool { wire.lexicographicallyPrecedes(other.wire) }
}
