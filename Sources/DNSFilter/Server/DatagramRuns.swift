/// Orders the datagrams of a batch into runs that the kernel can send as one packet (UDP_SEGMENT): same recipient, same
/// length. A run passes routing and packet filters only once.
///
/// A value that only says which slots of a pool to send together; it sends nothing.
struct DatagramRuns<Recipient: Equatable> {
    private struct Run {
        var recipient: Recipient
        var length: Int
        var count: UInt16
        var first: UInt16
        var last: UInt16
    }

    /// Datagrams in a run at most: `UDP_MAX_SEGMENTS` of older kernels.
    static var maxDatagrams: Int { 64 }
    /// Bytes in a run at most: an IP packet less its headers.
    static var maxBytes: Int { 65_535 - 128 }
    /// How far back to look for a datagram's run: if all recipients differ, the search must not cost more than it
    /// saves.
    private static var lookBack: Int { 8 }

    private var runs: [Run] = []
    /// For each slot, the next one in its run.
    private var next: [UInt16]
    private(set) var order: [UInt16] = []
    /// The start of each run in `order`, then the end of the last.
    private(set) var starts: [UInt16] = []

    /// - Parameter capacity: datagrams in a batch.
    init(capacity: Int) {
        next = [UInt16](repeating: 0, count: capacity)
        runs.reserveCapacity(capacity)
        order.reserveCapacity(capacity)
        starts.reserveCapacity(capacity + 1)
    }

    var count: Int { runs.count }
    func recipient(of run: Int) -> Recipient { runs[run].recipient }
    /// The slots of a run, after `arrange()`.
    func slots(of run: Int) -> ArraySlice<UInt16> { order[Int(starts[run])..<Int(starts[run + 1])] }

    mutating func add(_ slot: UInt16, to recipient: Recipient, length: Int) {
        for index in (max(0, runs.count - Self.lookBack)..<runs.count).reversed()
        where runs[index].length == length && runs[index].recipient == recipient {
            let count = Int(runs[index].count) + 1
            guard count <= Self.maxDatagrams, count * length <= Self.maxBytes else { break }
            next[Int(runs[index].last)] = slot
            runs[index].last = slot
            runs[index].count += 1
            return
        }
        runs.append(Run(recipient: recipient, length: length, count: 1, first: slot, last: slot))
    }

    /// Fills `order` and `starts`.
    mutating func arrange() {
        order.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        for run in runs {
            starts.append(UInt16(order.count))
            var slot = run.first
            for _ in 0..<run.count {
                order.append(slot)
                slot = next[Int(slot)]
            }
        }
        starts.append(UInt16(order.count))
    }

    mutating func removeAll() { runs.removeAll(keepingCapacity: true) }
}
