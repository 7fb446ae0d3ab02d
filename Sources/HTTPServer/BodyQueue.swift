import NIOCore
import Synchronization
import System

/// What has come of a body and has not been read. The event loop puts parts in, and one reader takes them out: a task, or a thread
/// that may wait for a moment. While much waits here the socket is not read.
final class BodyQueue: Sendable {
    private enum Reader {
        case task(CheckedContinuation<Void, Never>)
        case thread
    }

    private struct State {
        var parts = CircularBuffer<ByteBuffer>()
        var bytes = 0
        var end: Result<Void, any Error>?
        /// The socket is not read.
        var isFull = false
        /// Nobody reads any more: what comes is thrown away.
        var isLeft = false
        var isRead = false
        var waiting: Reader?

        /// - Returns: the next part, and whether there is room again.
        mutating func take() -> (part: ByteBuffer?, hasRoom: Bool) {
            guard let part = parts.popFirst() else { return (nil, false) }
            bytes -= BodyQueue.weight(of: part)
            let hasRoom = isFull && bytes <= BodyQueue.few
            if hasRoom { isFull = false }
            return (part, hasRoom)
        }
    }

    /// From so many bytes on the socket is not read, until so few are left.
    private static let most = 1 << 20
    fileprivate static let few = 512 << 10

    /// The bytes that a part counts for: a small one takes more memory than it has bytes.
    fileprivate static func weight(of part: ByteBuffer) -> Int { max(part.readableBytes, 256) }

    private let resume: @Sendable () -> Void
    private let state = Mutex(State())
    /// For a thread that waits.
    private let came = Semaphore()

    /// - Parameter resume: has the socket read again, from any thread.
    init(resume: @escaping @Sendable () -> Void) { self.resume = resume }

    // MARK: the event loop's side

    /// - Returns: whether the socket is to be read on.
    func put(_ parts: [ByteBuffer]) -> Bool {
        let (reader, isFull) = state.withLock { state -> (Reader?, Bool) in
            guard !state.isLeft else { return (nil, false) }
            for part in parts { state.bytes += Self.weight(of: part) }
            state.parts.append(contentsOf: parts)
            if state.bytes >= Self.most { state.isFull = true }
            defer { state.waiting = nil }
            return (state.waiting, state.isFull)
        }
        wake(reader)
        return !isFull
    }

    /// The body has ended. What has come is still there to be read.
    func finish(_ end: Result<Void, any Error> = .success(())) {
        let reader = state.withLock { state -> Reader? in
            if state.end == nil { state.end = end }
            defer { state.waiting = nil }
            return state.waiting
        }
        wake(reader)
    }

    private func wake(_ reader: Reader?) {
        switch reader {
        case .task(let continuation): continuation.resume()
        case .thread: came.signal()
        case nil: break
        }
    }

    // MARK: the reader's side

    /// The next part; nil at the end.
    func next() async throws -> ByteBuffer? {
        while true {
            let (part, hasRoom, end) = state.withLock { state in
                let (part, hasRoom) = state.take()
                return (part, hasRoom, state.end)
            }
            if hasRoom { resume() }
            if let part { return part }
            if let end {
                try end.get()
                return nil
            }
            try await wait()
        }
    }

    private func wait() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard state.parts.isEmpty, state.end == nil, !Task.isCancelled else { return true }
                    state.waiting = .task(continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            wake(
                state.withLock { state in
                    defer { state.waiting = nil }
                    return state.waiting
                })
        }
        try Task.checkCancellation()
    }

    /// The next part, for a thread that waits; nil where none comes in time, and at the end.
    /// - Parameter deadline: nanoseconds of `SystemClock.monotonicNanoseconds`.
    func next(until deadline: UInt64) -> ByteBuffer? {
        while true {
            let (part, hasRoom, waits) = state.withLock { state -> (ByteBuffer?, Bool, Bool) in
                let (part, hasRoom) = state.take()
                let waits = part == nil && state.end == nil && SystemClock.monotonicNanoseconds() < deadline
                state.waiting = waits ? .thread : nil
                return (part, hasRoom, waits)
            }
            if hasRoom { resume() }
            guard waits else { return part }
            came.wait(until: deadline)
        }
    }

    /// Somebody reads it: from now on nobody does only when they have gone.
    func beginReading() { state.withLock { $0.isRead = true } }

    /// - Parameter unread: the request has gone, and whoever reads its body may not have.
    func leave(unread: Bool = false) {
        let wasFull = state.withLock { state in
            guard !unread || !state.isRead else { return false }
            (state.isLeft, state.parts, state.bytes) = (true, [], 0)
            defer { state.isFull = false }
            return state.isFull
        }
        if wasFull { resume() }
    }
}
