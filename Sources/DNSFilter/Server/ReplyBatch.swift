#if canImport(Glibc)
    import Glibc
#endif

/// Who sent a datagram: a sockaddr_in or sockaddr_in6.
struct DatagramPeer: Equatable, Sendable {
    /// The address's bytes, padded with zeros.
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private var length: socklen_t

    init(_ bytes: UnsafeRawBufferPointer) {
        let count = min(bytes.count, MemoryLayout<sockaddr_in6>.size)
        length = socklen_t(count)
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
    }

    static func == (left: Self, right: Self) -> Bool { left.words == right.words && left.length == right.length }

    fileprivate func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[..<Int(length)])) }
    }
}

/// Answers that are sent through one socket with one call.
final class ReplyBatch {
    private let pool: DatagramPool
    private var socket: CInt = -1
    private var count = 0
    private var runs: DatagramRuns<DatagramPeer>

    init?() {
        // An answer over UDP is at most `Query.maxPayload` long; a truncated one has a question and a record.
        guard let pool = DatagramPool(slots: 64, slotBytes: 2048) else { return nil }
        self.pool = pool
        runs = DatagramRuns(capacity: pool.slots)
    }

    var isEmpty: Bool { count == 0 }

    func add(_ message: [UInt8], to peer: DatagramPeer, by socket: CInt) {
        if socket != self.socket || count == pool.slots { flush() }
        guard peer.withBytes({ pool.put(message, at: count, to: $0) }) else { return }
        self.socket = socket
        runs.add(UInt16(count), to: peer, length: message.count)
        count += 1
    }

    /// Sends the batch. Call it before any socket is closed. A full socket buffer drops answers, as the network might.
    func flush() {
        guard count > 0 else { return }
        runs.arrange()
        var first = 0
        while first < runs.count {
            let sent = pool.send(runs, from: first, count: runs.count - first, by: socket)
            guard sent != -EAGAIN, sent != -ENOBUFS else { break }
            // An error for one peer's address must not hold up the others' answers.
            if sent <= 0 { sendSingly(runs.slots(of: first)) }
            first += max(Int(sent), 1)
        }
        runs.removeAll()
        count = 0
    }

    /// Sends a run one by one, for when it does not fit one packet (a small MTU on loopback).
    private func sendSingly(_ slots: ArraySlice<UInt16>) {
        guard slots.count > 1 else { return }
        for slot in slots { _ = pool.send(slot, by: socket) }
    }
}
