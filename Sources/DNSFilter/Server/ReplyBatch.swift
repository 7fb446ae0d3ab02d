import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Who sent a datagram: a sockaddr_in or sockaddr_in6.
struct DatagramPeer: Equatable, Sendable {
    /// The address's bytes, zeros behind them.
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private var length: socklen_t

    init(_ bytes: UnsafeRawBufferPointer) {
        let count = min(bytes.count, MemoryLayout<sockaddr_in6>.size)
        length = socklen_t(count)
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count])) }
    }

    static func == (left: Self, right: Self) -> Bool { left.words == right.words && left.length == right.length }

    fileprivate func copy(to pool: OpaquePointer, slot: UInt32) {
        withUnsafeBytes(of: words) {
            UnsafeMutableRawPointer(linux_datagrams_peer(pool, slot)).copyMemory(
                from: $0.baseAddress!, byteCount: Int(length))
        }
        linux_datagrams_set_peer_length(pool, slot, length)
    }
}

/// Answers that leave through one socket by one call.
final class ReplyBatch {
    private static let slots: UInt32 = 64
    /// An answer over UDP has `Query.largestPayload` at most; one that was cut has a question and a record.
    private static let slotBytes: UInt32 = 2048

    private let pool: OpaquePointer
    private var socket: CInt = -1
    private var count: UInt32 = 0
    private var runs = DatagramRuns<DatagramPeer>(capacity: Int(slots))

    init?() {
        guard let pool = linux_datagrams_create(Self.slots, Self.slotBytes) else { return nil }
        self.pool = pool
    }

    deinit { linux_datagrams_destroy(pool) }

    var isEmpty: Bool { count == 0 }

    func add(_ message: [UInt8], to peer: DatagramPeer, by socket: CInt) {
        if socket != self.socket || count == Self.slots { flush() }
        guard message.count <= Int(Self.slotBytes) else { return }
        self.socket = socket
        message.withUnsafeBytes {
            UnsafeMutableRawPointer(linux_datagrams_bytes(pool, count)).copyMemory(
                from: $0.baseAddress!, byteCount: $0.count)
        }
        linux_datagrams_set_length(pool, count, UInt32(message.count))
        peer.copy(to: pool, slot: count)
        runs.add(UInt16(count), to: peer, length: message.count)
        count += 1
    }

    /// To be called before any socket is closed. A full socket buffer loses answers, as the network might have.
    func flush() {
        guard count > 0 else { return }
        runs.arrange()
        var first = 0
        while first < runs.count {
            let sent = runs.order.withUnsafeBufferPointer { order in
                runs.starts.withUnsafeBufferPointer {
                    linux_datagrams_send_runs(
                        pool, socket, order.baseAddress!, $0.baseAddress! + first, UInt32(runs.count - first))
                }
            }
            guard sent != -EAGAIN, sent != -ENOBUFS else { break }
            // What one peer's address refuses must not keep the others from their answers.
            if sent <= 0 { sendSingly(runs.slots(of: first)) }
            first += max(Int(sent), 1)
        }
        runs.removeAll()
        count = 0
    }

    /// A run that cannot leave as one packet: the loopback may have been made too narrow for it.
    private func sendSingly(_ slots: ArraySlice<UInt16>) {
        guard slots.count > 1 else { return }
        for slot in slots { _ = linux_datagrams_send(pool, socket, UInt32(slot), 1) }
    }
}
