/// What the kernel's counters of refused packets say since they were last read, and how much of it is reported: a value,
/// without the kernel.
///
/// A packet is counted before it is reported, and messages are read before counters. So more reports than counted packets
/// mean that counters were lost with their table.
struct RefusalCounters: Sendable {
    /// Packets as last read.
    private var seen: [RefusalReason.Place: UInt64] = [:]
    /// Counted by tables that are gone, and not told yet.
    private var kept: [RefusalReason: UInt64] = [:]
    /// Reasons of the last packets: their counters may have gone on since.
    private var due: Set<RefusalReason> = []
    private var looked: Set<RefusalReason> = []
    /// Packets that were counted and are not reported yet.
    private var unreported: [RefusalReason: Int] = [:]
    private var silent: Set<RefusalReason> = []
    private var omitted = 0
    private var trouble: EgressError?

    /// Reasons whose counters the next read looks at in any case.
    mutating func look(at reasons: Set<RefusalReason>) { looked.formUnion(reasons) }

    /// Takes what is reported now from what was counted before. What is left then will never be reported.
    /// - Parameter silent: of which nothing is ever reported.
    mutating func settle(_ reported: [RefusalReason], silent: Set<RefusalReason>) {
        self.silent = silent
        for reason in reported where !reason.counted.isEmpty { unreported[reason, default: 0] -= 1 }
        for (reason, count) in unreported where count >= 0 {
            if !silent.contains(reason) { omitted += count }
            unreported[reason] = nil
        }
        let news = Set(reported)
        looked.formUnion(due.union(news))
        due = news
    }

    mutating func takeOmitted() -> Int {
        defer { omitted = 0 }
        return omitted
    }

    mutating func takeTrouble() -> EgressError? {
        defer { trouble = nil }
        return trouble
    }

    /// How much the counters that are looked at went on, by their reasons. One that cannot be read is read again the next time.
    mutating func read(
        _ packets: (RefusalReason.Place) throws(EgressError) -> UInt64
    ) -> [RefusalReason: Int] {
        var counted: [RefusalReason: Int] = [:]
        for reason in looked.union(kept.keys) {
            let isRead = advance(reason, packets)
            if isRead { looked.remove(reason) }
            // No sum of these comes near the end of an Int.
            var count = Int(min(kept.removeValue(forKey: reason) ?? 0, UInt64(Int32.max)))
            let balance = (unreported[reason] ?? 0) + count
            unreported[reason] = silent.contains(reason) ? nil : balance
            if balance < 0, isRead {
                // They were refused, whatever became of their counter.
                count -= balance
                unreported[reason] = nil
            }
            if count > 0 { counted[reason] = count }
        }
        return counted
    }

    /// Reads the counters of tables that are about to be made anew. Where that fails, only what was reported is known.
    mutating func keep(
        _ tables: Set<String>, _ packets: (RefusalReason.Place) throws(EgressError) -> UInt64
    ) {
        for reason in RefusalReason.allCases where reason.counted.contains(where: { tables.contains($0.table) }) {
            _ = advance(reason, packets)
        }
        trouble = nil
    }

    /// These tables are new.
    mutating func beginAnew(_ tables: Set<String>) { seen = seen.filter { !tables.contains($0.key.table) } }

    /// Adds what the reason's counters went on by to what is kept. A counter that went back is a new one.
    /// - Returns: whether all could be read.
    private mutating func advance(
        _ reason: RefusalReason, _ packets: (RefusalReason.Place) throws(EgressError) -> UInt64
    ) -> Bool {
        var isRead = true
        for place in reason.counted {
            do throws(EgressError) {
                let now = try packets(place), before = seen[place] ?? 0
                seen[place] = now
                let more = now >= before ? now - before : now
                if more > 0 { kept[reason] = (kept[reason] ?? 0) &+ more }
            } catch {
                trouble = error
                isRead = false
            }
        }
        return isRead
    }
}
