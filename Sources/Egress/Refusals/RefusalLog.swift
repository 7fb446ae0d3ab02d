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
        /// Of which the kernel tells no single packets; all where the kernel tells none at all.
        var countedOnly: Set<RefusalReason> = []
        /// Why some counters could not be read. They are read again the next time.
        var trouble: EgressError?
    }

    private struct State {
        var isListening = false
        var counters = RefusalCounters()
        var reads: UInt64 = 0
    }

    /// How many datagrams are read at once. Each holds a dozen packets or more.
    private static let datagrams = 32
    /// Counters are costlier than messages: where there are no messages, they are read every so many times.
    private static let rareReads: UInt64 = 10

    private let tables: NetfilterSocket
    private let packets: PacketLog?
    /// How chains of devices have to tell of what they refuse: older kernels have no log for them.
    let packetReporting: RefusalReporting
    private let state = Mutex(State())

    /// Call on a thread that is in the namespace of these tables.
    init(_ tables: NetfilterSocket) {
        self.tables = tables
        guard KernelLog.hasRule(tables, .inet),
            let log = try? PacketLog(group: RefusalReporting.group, bytesOfPacket: RefusalReporting.bytesOfPacket),
            let isListening = try? log.listen()
        else {
            packets = nil
            packetReporting = .counted
            return
        }
        packets = log
        packetReporting = KernelLog.hasRule(tables, .netdev) ? .logged : .counted
        state.withLock { $0.isListening = isListening }
    }

    /// How rules of the namespace have to tell of what they refuse.
    var reporting: RefusalReporting { packets == nil ? .counted : .logged }

    /// What has been refused since the last call. Costs one system call where nothing was.
    func read() -> Batch {
        state.withLock { state in
            var batch = Batch()
            state.reads += 1
            if let packets {
                // Another guard's process that was ending may have had the group.
                if !state.isListening { state.isListening = (try? packets.listen()) ?? false }
                for packet in packets.read(limit: Self.datagrams) {
                    guard let reason = RefusalReason(rawValue: packet.prefix) else { continue }
                    batch.packets.append((reason, PacketHeader(packet.bytes)))
                }
            }
            batch.countedOnly = silent(state.isListening)
            if !state.isListening || packetReporting == .counted, state.reads % Self.rareReads == 1 {
                state.counters.look(at: batch.countedOnly)
            }
            state.counters.settle(batch.packets.map(\.reason), silent: batch.countedOnly)
            batch.omitted = state.counters.takeOmitted()
            batch.counted = state.counters.read { (place) throws(EgressError) in try packets(refusedBy: place) }
            batch.trouble = state.counters.takeTrouble()
            return batch
        }
    }

    /// Carries out a change that makes tables anew, whose counters begin with zero: what the old ones have counted until then
    /// is told by the next read.
    /// - Parameter change: one commit, which makes all of these tables anew or none.
    func replacing(_ tables: Set<String>, _ change: () throws(EgressError) -> Void) throws(EgressError) {
        try state.withLock { state throws(EgressError) in
            // A namespace that has just got its guard has nothing to tell.
            if state.reads > 0 {
                state.counters.keep(tables) { (place) throws(EgressError) in try packets(refusedBy: place) }
            }
            try change()
            state.counters.beginAnew(tables)
        }
    }

    private func silent(_ isListening: Bool) -> Set<RefusalReason> {
        if !isListening { return Set(RefusalReason.allCases) }
        return packetReporting == .counted ? [.packetSocket] : []
    }

    private func packets(refusedBy place: RefusalReason.Place) throws(EgressError) -> UInt64 {
        let counts = try EgressError.ofKernel { () throws(NetfilterError) in
            try tables.counts(of: place.chain, table: place.table, family: place.family)
        }
        return counts.reduce(UInt64(0)) { $0 &+ $1.packets }
    }
}

/// Whether this kernel's nf_tables can log to a group, tried once in a process for each family of tables.
enum KernelLog {
    private static let known = Mutex<[Transaction.Family: Bool]>([:])

    /// Tries it in a table that is gone with the same transaction.
    static func hasRule(_ tables: NetfilterSocket, _ family: Transaction.Family) -> Bool {
        known.withLock { known in
            if let known = known[family] { return known }
            let table = "sallyport_trial"
            var trial = Transaction(family: family)
            trial.addTable(table)
            trial.addChain("log", table: table)
            trial.addRule("log", table: table, RefusalReporting.logged.rule(.policy))
            trial.removeTable(table)
            do throws(NetfilterError) {
                try tables.commit(trial)
                known[family] = true
                return true
            } catch {
                // Of the kernel, and not of this moment.
                if let code = error.code, [ENOENT, EOPNOTSUPP, EAFNOSUPPORT, EINVAL].contains(code) {
                    known[family] = false
                }
                return false
            }
        }
    }
}
