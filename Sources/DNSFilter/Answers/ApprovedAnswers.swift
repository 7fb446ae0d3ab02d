/// Remembers that a sandbox was given a cached answer in full, with all its addresses open in the kernel. Until policy
/// or kernel state changes, the same answer can be repeated without asking either.
///
/// A fixed-size table in which a newer entry replaces an older one in its slot. A lost entry costs only time.
struct ApprovedAnswers: Sendable {
    private struct Slot {
        var client: UInt64 = 0
        /// `AnswerCache.Hit.serial`; 0 in an empty slot.
        var serial: UInt64 = 0
        /// `DNSPolicy.revision`, read before the policy was asked.
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
