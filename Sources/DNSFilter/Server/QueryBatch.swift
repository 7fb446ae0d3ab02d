#if canImport(Glibc)
    import Glibc
#endif

/// Queries to upstreams, sent in batches with as few packets per socket as the kernel allows.
final class QueryBatch {
    private let pool: DatagramPool
    private var transmissions: [Transmission] = []
    private var runs: DatagramRuns<CInt>
    /// Whether the route supports segmentation; a device that computes no checksums does not.
    private var takesRuns = true

    init?() {
        // A header, a question and our EDNS record are at most 286 bytes.
        guard let pool = DatagramPool(slots: 64, slotBytes: 512) else { return nil }
        self.pool = pool
        runs = DatagramRuns(capacity: pool.slots)
        transmissions.reserveCapacity(pool.slots)
    }

    var isEmpty: Bool { transmissions.isEmpty }
    var isFull: Bool { transmissions.count == pool.slots }

    /// - Precondition: the batch is not full.
    func add(_ transmission: Transmission, _ message: [UInt8], by socket: CInt) {
        let slot = transmissions.count, fits = pool.put(message, at: slot)
        precondition(fits, "a question is longer than any name allows")
        runs.add(UInt16(slot), to: socket, length: message.count)
        transmissions.append(transmission)
    }

    /// Sends the batch. Call it before any socket is closed.
    /// - Returns: the queries that could not be sent.
    func flush() -> [Transmission] {
        guard !isEmpty else { return [] }
        runs.arrange()
        var failed: [Transmission] = []
        for run in 0..<runs.count {
            let slots = runs.slots(of: run), socket = runs.recipient(of: run)
            if takesRuns, slots.count > 1 {
                if Self.isOut(try: { pool.send(runs, from: run, count: 1, by: socket) }) { continue }
                takesRuns = false
            }
            for slot in slots where !Self.isOut(try: { pool.send(slot, by: socket) }) {
                failed.append(transmissions[Int(slot)])
            }
        }
        runs.removeAll()
        transmissions.removeAll(keepingCapacity: true)
        return failed
    }

    /// Whether it was sent, or dropped as the network might drop it: then it is repeated after its time-out.
    private static func isOut(try send: () -> CInt) -> Bool {
        var status = send()
        // The first attempt may return a pending ICMP error of an earlier datagram.
        if status == -ECONNREFUSED { status = send() }
        return status > 0 || [-EAGAIN, -ENOBUFS, -EINTR, -ECONNREFUSED].contains(status)
    }
}
