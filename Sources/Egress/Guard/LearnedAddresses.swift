import NetworkPolicy

/// What one sandbox's names were seen to resolve to, mirrored from the kernel's sets.
///
/// The kernel forgets an address when its time is up; this keeps it as history while there is room, because
/// a connection may outlive the record it came from, and a policy change must know by which name it was opened.
/// Times are whole seconds of a clock that never goes back; the caller passes the current one.
struct LearnedAddresses: Sendable {
    /// One address may be shared by many names (a CDN); more than this are not told apart.
    static let maximumNamesPerAddress = 256
    /// The same once there are as many names altogether as so many for each address that there is room for.
    static let usualNamesPerAddress = 16

    struct Entry: Sendable, Hashable {
        /// The names it was learned from, each with the time until which its record holds.
        var names: [DomainName: UInt64]
        /// Until when the kernel's element lives.
        var expiry: UInt64
        /// When the record ended, of one that is open for the sake of a flow alone.
        var recordEnd: UInt64?
        /// The number of the profile with which the kernel has it; `nil` when it is surely not there.
        var profile: UInt32?

        /// The names whose records hold: what they open is open.
        func liveNames(now: UInt64) -> [DomainName] { names.filter { $0.value > now }.map(\.key) }

        /// Whether it must be taken out of the kernel to be surely gone: the two clocks may differ by the
        /// part of a second that is not counted here.
        func mayBeInKernel(now: UInt64) -> Bool { expiry + 2 > now }
    }

    let capacity: Int
    private(set) var entries: [IPAddress: Entry] = [:]
    /// Of all addresses.
    private(set) var nameCount = 0
    /// Counts the names that had to make room for others while their records held.
    private(set) var displacements: UInt64 = 0
    /// When history was last looked through for room.
    private var sweptAt: UInt64?

    init(capacity: Int) {
        self.capacity = capacity
    }

    /// Whether the kernel holds this address at `now`.
    func isLive(_ address: IPAddress, now: UInt64) -> Bool {
        entries[address].map { $0.expiry > now } ?? false
    }

    func liveCount(now: UInt64) -> Int { entries.values.count { $0.expiry > now } }

    /// The entry as it will be once learned, or `nil` when there is no room even after forgetting history.
    /// Nothing is stored: `store` does that once the kernel has agreed.
    mutating func entry(learning address: IPAddress, from name: DomainName, until expiry: UInt64, now: UInt64) -> Entry?
    {
        var entry = entries[address] ?? Entry(names: [:], expiry: expiry)
        if entries[address] == nil && entries.count >= capacity {
            // Once a second: who has filled it all could keep the names of everybody waiting otherwise.
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

    /// Seconds for which learning an address from a name again changes nothing: the name's record holds, and the kernel
    /// keeps the address for `grace` seconds from then on, and for the record's time. 0 when it does change something.
    func validSeconds(of address: IPAddress, from name: DomainName, timeToLive: UInt64, grace: UInt64, now: UInt64)
        -> UInt64
    {
        guard let entry = entries[address], let record = entry.names[name], entry.profile != nil,
            entry.expiry >= now + timeToLive
        else { return 0 }
        // One less: the part of a second that is not counted.
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

    /// Addresses whose time is up before `soon`, and that a live flow may keep open: not for longer than `bound` seconds
    /// after the record.
    func ending(before soon: UInt64, bound: UInt64, now: UInt64) -> [IPAddress] {
        entries.filter { _, entry in
            entry.profile != nil && entry.expiry > now && entry.expiry < soon
                && now < (entry.recordEnd ?? entry.expiry) + bound
        }.map(\.key)
    }

    /// The entry as it will be when its names hold until then; nil where none does now. Nothing is stored.
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

    /// The addresses of which a change of the policy may decide otherwise.
    func touched(by change: TouchedTargets) -> [IPAddress: Entry] {
        if case .everything = change { return entries }
        return entries.filter { address, entry in
            change.contains(address) || entry.names.keys.contains { change.contains($0) }
        }
    }

    /// Keeps of some addresses the names for which `isAllowed` holds, and forgets addresses left without one.
    /// Returns the forgotten ones; those still alive in the kernel must leave its sets.
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
    /// Some order of names, where one has to be the same each time; not that of their texts, which would have to be made.
    func comesBefore(_ other: DomainName) -> Bool { wire.lexicographicallyPrecedes(other.wire) }
}
