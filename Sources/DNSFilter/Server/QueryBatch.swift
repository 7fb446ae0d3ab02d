#if canImport(Glibc)
    import Glibc
#endif

/// Queries on their way to upstreams, which leave a batch at a time: by each socket as few packets as the kernel can carry them in.
final class QueryBatch {
    private let pool: DatagramPool
    private var transmissions: [Transmission] = []
    private var runs: DatagramRuns<CInt>
    /// Whether the way there takes packets that are cut up later: a device that computes no checksums does not.
    private var takesRuns = true

    init?() {
        // A header, a question and our EDNS record have 286 bytes at most.
        guard let pool = DatagramPool(slots: 64, slotBytes: 512) else { return nil }
        self.pool = pool
        runs = DatagramRuns(capacity: pool.slots)
        transmissions.reserveCapacity(pool.slots)
    }

    var isEmpty: Bool { transmissions.isEmpty }
    var isFull: Bool { transmissions.count == pool.slots }

    /// - Precondition: it is not full.
    func add(_ transmission: Transmission, _ message: [UInt8], by socket: CInt) {
        let slot = transmissions.count, fits = pool.put(message, at: slot)
        precondition(fits, "a question is longer than any name allows")
        runs.add(UInt16(slot), to: socket, length: message.count)
        transmissions.append(transmission)
    }

    /// To be called before any socket is closed.
    /// - Returns: those that could not go out at all.
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

    /// Whether it is on its way, or lost as the network might have lost it: then it is asked again when its time is up.
    private static func isOut(try send: () -> CInt) -> Bool {
        var status = send()
        // An error that was left from an earlier datagram (ICMP) is taken by a first try.
        if status == -ECONNREFUSED { status = send() }
        return status > 0 || [-EAGAIN, -ENOBUFS, -EINTR, -ECONNREFUSED].contains(status)
    }
}
