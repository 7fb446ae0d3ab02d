import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Queries on their way to upstreams, which leave a batch at a time: by each socket as few packets as the kernel can carry them in.
final class QueryBatch {
    private static let slots: UInt32 = 64
    /// A header, a question and our EDNS record have 286 bytes at most.
    private static let slotBytes: UInt32 = 512

    private let pool: OpaquePointer
    private var transmissions: [Transmission] = []
    private var runs = DatagramRuns<CInt>(capacity: Int(slots))
    /// Whether the way there takes packets that are cut up later: a device that computes no checksums does not.
    private var takesRuns = true

    init?() {
        guard let pool = linux_datagrams_create(Self.slots, Self.slotBytes) else { return nil }
        self.pool = pool
        transmissions.reserveCapacity(Int(Self.slots))
    }

    deinit { linux_datagrams_destroy(pool) }

    var isEmpty: Bool { transmissions.isEmpty }
    var isFull: Bool { transmissions.count == Self.slots }

    /// - Precondition: it is not full.
    func add(_ transmission: Transmission, _ message: [UInt8], by socket: CInt) {
        let slot = UInt32(transmissions.count)
        message.withUnsafeBytes {
            UnsafeMutableRawPointer(linux_datagrams_bytes(pool, slot)).copyMemory(
                from: $0.baseAddress!, byteCount: min($0.count, Int(Self.slotBytes)))
        }
        linux_datagrams_set_length(pool, slot, UInt32(message.count))
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
                if Self.isOut(try: { send(run, by: socket) }) { continue }
                takesRuns = false
            }
            for slot in slots where !Self.isOut(try: { linux_datagrams_send(pool, socket, UInt32(slot), 1) }) {
                failed.append(transmissions[Int(slot)])
            }
        }
        runs.removeAll()
        transmissions.removeAll(keepingCapacity: true)
        return failed
    }

    private func send(_ run: Int, by socket: CInt) -> CInt {
        runs.order.withUnsafeBufferPointer { order in
            runs.starts.withUnsafeBufferPointer {
                linux_datagrams_send_runs(pool, socket, order.baseAddress!, $0.baseAddress! + run, 1)
            }
        }
    }

    /// Whether it is on its way, or lost as the network might have lost it: then it is asked again when its time is up.
    private static func isOut(try send: () -> CInt) -> Bool {
        var status = send()
        // An error that was left from an earlier datagram (ICMP) is taken by a first try.
        if status == -ECONNREFUSED { status = send() }
        return status > 0 || [-EAGAIN, -ENOBUFS, -EINTR, -ECONNREFUSED].contains(status)
    }
}
