import NIOCore
import Synchronization

/// Memory for output that is on its way, used again while much of it comes.
final class OutputBuffers: Sendable {
    private struct State {
        var free: [ByteBuffer] = []
        var isUsed = false
    }

    /// Smaller ones cost little, larger ones are rare.
    private static let kept = 64 << 10...1 << 20
    private static let most = 6

    private let state = Mutex(State())

    /// Whether there is something to be let go of, now or soon.
    var isUsed: Bool { state.withLock { $0.isUsed } }

    /// - Returns: an empty one with room for so many bytes.
    func take(_ capacity: Int) -> ByteBuffer {
        guard Self.kept.contains(capacity) else { return ByteBufferAllocator().buffer(capacity: capacity) }
        var found = state.withLock { state in
            state.isUsed = true
            return state.free.popLast()
        }
        // Where it is: another reference would make a copy of it.
        found?.clear(minimumCapacity: capacity)
        return found ?? ByteBufferAllocator().buffer(capacity: capacity)
    }

    /// To be used again. What others still hold is theirs.
    func give(_ buffer: ByteBuffer) {
        guard Self.kept.contains(buffer.storageCapacity) else { return }
        state.withLock { state in
            // Nobody would let go of it.
            guard state.isUsed, state.free.count < Self.most else { return }
            state.free.append(buffer)
        }
    }

    func letGo() { state.withLock { $0 = State() } }
}
