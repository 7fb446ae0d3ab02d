import Netfilter
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What the kernel tells of refused packets in one namespace: messages about some, and counters of all.
///
/// It is read once a second. Between two reads the kernel holds the messages, so a thousand sandboxes need neither a
/// thread nor a wake-up for each packet.
final class RefusalLog: Sendable {
    struct Batch: Sendable {
        var packets: [(reason: RefusalReason, header: PacketHeader?)] = []
        /// All packets since the last look, reported or not.
        var counted: [RefusalReason: Int] = [:]
        /// Packets of which nothing was reported, since the kernel's limit was reached. A read later than they were counted:
        /// what was reported of them may still have been on its way.
        var omitted = 0
        /// Whether the kernel tells nothing of single packets.
        var isCountedOnly = false
    }

    private struct State {
        var isListening = false
        /// Counters as last read, by table and chain.
        var seen: [String: UInt64] = [:]
        /// Reasons of the last read's packets: their counters may have gone on since.
        var due: Set<RefusalReason> = []
        /// Packets that were counted and not reported yet.
        var unreported: [RefusalReason: Int] = [:]
        var reads: UInt64 = 0

        /// Takes what is reported now from what was counted before.
        /// - Returns: how many of those packets will never be reported.
        mutating func settle(_ reported: [RefusalReason]) -> Int {
            for reason in reported where !reason.counted.isEmpty { unreported[reason, default: 0] -= 1 }
            var lost = 0
            for (reason, count) in unreported where count >= 0 {
                lost += count
                unreported[reason] = nil
            }
            return lost
        }
    }

    /// How many datagrams are read at once. Each holds a dozen packets or more.
    private static let datagrams = 32
    /// Counters are costlier than messages: where there are no messages, they are read every so many times.
    private static let rareReads: UInt64 = 10

    private let tables: NetfilterSocket
    private let packets: PacketLog?
    private let state = Mutex(State())

    /// Call on a thread that is in the namespace of these tables.
    init(_ tables: NetfilterSocket) {
        self.tables = tables
        guard KernelLog.hasRule(tables),
            let log = try? PacketLog(group: RefusalReporting.group, bytesOfPacket: RefusalReporting.bytesOfPacket),
            let isListening = try? log.listen()
        else {
            packets = nil
            return
        }
        packets = log
        state.withLock { $0.isListening = isListening }
    }

    /// How rules of the namespace have to tell of what they refuse.
    var reporting: RefusalReporting { packets == nil ? .counted : .logged }

    /// What has been refused since the last call. Costs one system call where nothing was.
    func read() throws(EgressError) -> Batch {
        try state.withLock { state throws(EgressError) in
            var batch = Batch(), news: Set<RefusalReason> = []
            state.reads += 1
            if let packets {
                // Another guard's process that was ending may have had the group.
                if !state.isListening { state.isListening = (try? packets.listen()) ?? false }
                for packet in packets.read(limit: Self.datagrams) {
                    guard let reason = RefusalReason(rawValue: packet.prefix) else { continue }
                    batch.packets.append((reason, PacketHeader(packet.bytes)))
                    news.insert(reason)
                }
            }
            batch.isCountedOnly = !state.isListening
            var looked = news.union(state.due)
            state.due = news
            if batch.isCountedOnly, state.reads % Self.rareReads == 1 { looked = Set(RefusalReason.allCases) }
            if !batch.isCountedOnly { batch.omitted = state.settle(batch.packets.map(\.reason)) }
            for reason in looked {
                let count = try count(reason, &state.seen)
                guard count > 0 else { continue }
                batch.counted[reason] = count
                if !batch.isCountedOnly { state.unreported[reason, default: 0] += count }
            }
            return batch
        }
    }

    /// How much the counters of a reason went on. A table that was made anew begins with zero.
    private func count(_ reason: RefusalReason, _ seen: inout [String: UInt64]) throws(EgressError) -> Int {
        var more: UInt64 = 0
        for (table, chain) in reason.counted {
            let counts = try EgressError.ofKernel { () throws(NetfilterError) in
                try tables.counts(of: chain, table: table)
            }
            let now = counts.reduce(UInt64(0)) { $0 &+ $1.packets }, place = table + " " + chain
            let before = seen[place] ?? 0
            more &+= now >= before ? now - before : now
            seen[place] = now
        }
        // No sum of these comes near the end of an Int.
        return Int(min(more, UInt64(Int32.max)))
    }
}

/// Whether this kernel's nf_tables can log to a group, tried once in a process.
enum KernelLog {
    private static let known = Mutex<Bool?>(nil)

    /// Tries it in a table that is gone with the same transaction.
    static func hasRule(_ tables: NetfilterSocket) -> Bool {
        known.withLock { known in
            if let known { return known }
            let table = "sallyport_trial"
            var trial = Transaction()
            trial.addTable(table)
            trial.addChain("log", table: table)
            trial.addRule("log", table: table, RefusalReporting.logged.rule(.policy))
            trial.removeTable(table)
            do throws(NetfilterError) {
                try tables.commit(trial)
                known = true
                return true
            } catch {
                // Of the kernel, and not of this moment.
                if let code = error.code, [ENOENT, EOPNOTSUPP, EINVAL].contains(code) { known = false }
                return false
            }
        }
    }
}
