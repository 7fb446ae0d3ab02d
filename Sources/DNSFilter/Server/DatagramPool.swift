import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Outgoing datagrams, one in each slot.
final class DatagramPool {
    let slots: Int
    private let slotBytes: Int
    private let pool: OpaquePointer

    /// Nil if there is no memory.
    init?(slots: Int, slotBytes: Int) {
        guard let pool = linux_datagrams_create(UInt32(slots), UInt32(slotBytes)) else { return nil }
        self.pool = pool
        self.slots = slots
        self.slotBytes = slotBytes
    }

    deinit { linux_datagrams_destroy(pool) }

    /// - Parameter peer: a sockaddr, of its length; empty for sockets that are connected.
    /// - Returns: false if it is too long for a slot; then nothing was done.
    func put(
        _ message: [UInt8], at slot: Int, to peer: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    )
        -> Bool
    {
        guard message.count <= slotBytes else { return false }
        let slot = UInt32(slot)
        message.withUnsafeBytes {
            UnsafeMutableRawPointer(linux_datagrams_bytes(pool, slot)).copyMemory(
                from: $0.baseAddress!, byteCount: $0.count)
        }
        linux_datagrams_set_length(pool, slot, UInt32(message.count))
        guard let address = peer.baseAddress else { return true }
        UnsafeMutableRawPointer(linux_datagrams_peer(pool, slot)).copyMemory(from: address, byteCount: peer.count)
        linux_datagrams_set_peer_length(pool, slot, socklen_t(peer.count))
        return true
    }

    /// Sends runs, beginning with `first`. Returns how many were sent, or -errno.
    func send<Recipient>(_ runs: DatagramRuns<Recipient>, from first: Int, count: Int, by socket: CInt) -> CInt {
        runs.order.withUnsafeBufferPointer { order in
            runs.starts.withUnsafeBufferPointer {
                linux_datagrams_send_runs(pool, socket, order.baseAddress!, $0.baseAddress! + first, UInt32(count))
            }
        }
    }

    /// Sends a single datagram. Returns 1, or -errno.
    func send(_ slot: UInt16, by socket: CInt) -> CInt { linux_datagrams_send(pool, socket, UInt32(slot), 1) }
}
