/// That a sandbox was told an answer of the cache, and may be told it again as it is: its policy would give the same verdict
/// and leave all addresses in, and the kernel has them open. Until something changes, policy and kernel need not be asked.
///
/// A table of fixed size in which a later clearance takes an earlier one's place: to lose one costs time, nothing else.
struct ApprovedAnswers: Sendable {
    private struct Slot {
        var client: UInt64 = 0
        /// `AnswerCache.Hit.serial`; 0 in none.
        var serial: UInt64 = 0
        /// `DNSPolicy.revision` from before the policy was asked.
        var revision: UInt64 = 0
        /// Milliseconds.
        var end: UInt64 = 0
    }

    private var slots: [Slot]

    /// - Parameter capacity: a power of two.
    init(capacity: Int = 2048) { slots = [Slot](repeating: Slot(), count: capacity) }

    func holds(client: UInt64, serial: UInt64, revision: UInt64, now: UInt64) -> Bool {
        let slot = slots[place(client, serial)]
        return slot.client == client && slot.serial == serial && slot.revision == revision && now < slot.end
    }

    mutating func grant(client: UInt64, serial: UInt64, revision: UInt64, until end: UInt64) {
        slots[place(client, serial)] = Slot(client: client, serial: serial, revision: revision, end: end)
    }

    private func place(_ client: UInt64, _ serial: UInt64) -> Int {
        let mixed = (client &* 0x9e37_79b9_7f4a_7c15) ^ serial
        return Int(truncatingIfNeeded: mixed ^ mixed >> 32) & (slots.count - 1)
    }
}
