import Synchronization

/// One request and its answer, between the task that waits for it and the thread that transfers it.
///
/// Continuations are resumed after the lock is released.
final class Transfer: Sendable {
    typealias Chunk = Result<[UInt8]?, HTTPClientError>
    typealias Head = Result<ResponseHead, HTTPClientError>

    let request: ClientRequest
    let peer: HTTPPeer
    /// Whether the body is at most `peer.limits.body`.
    let isCollected: Bool

    /// Bytes that wait for the reader before the server is made to wait.
    static let maxWaiting = 256 << 10

    private struct State {
        var head: ResponseHead?
        var waitsForHead: CheckedContinuation<Head, Never>?
        var chunks: [[UInt8]] = []
        var waitingBytes = 0
        var reader: CheckedContinuation<Chunk, Never>?
        /// The server waits until `next` has made room.
        var isPaused = false
        var end: Result<Void, HTTPClientError>?
        /// Called once it has ended.
        var afterEnd: (@Sendable () -> Void)?
        var upload = Upload()
    }

    /// The body that is sent: at most one chunk, or what is left of it.
    private struct Upload {
        var chunk: ArraySlice<UInt8> = []
        var writer: CheckedContinuation<Bool, Never>?
        /// True: all was given. False: it broke off.
        var end: Bool?
        /// The transfer waits until there is more.
        var isPaused = false
    }

    private let state = Mutex(State())

    init(_ request: ClientRequest, to peer: HTTPPeer, isCollected: Bool) {
        self.request = request
        self.peer = peer
        self.isCollected = isCollected
    }

    // MARK: The task's side

    func head() async -> Head {
        await withCheckedContinuation { continuation in
            let known: Head? = state.withLock { state in
                if let head = state.head { return .success(head) }
                if case .failure(let error) = state.end { return .failure(error) }
                state.waitsForHead = continuation
                return nil
            }
            if let known { continuation.resume(returning: known) }
        }
    }

    /// The next bytes of the body; nil after its end.
    /// - Parameter resume: called when the server waits for room that there is now.
    func next(resume: () -> Void) async -> Chunk {
        var isRoom = false
        let chunk = await withCheckedContinuation { continuation in
            let known: Chunk? = state.withLock { state in
                if !state.chunks.isEmpty {
                    let joined = state.chunks.count == 1 ? state.chunks[0] : Array(state.chunks.joined())
                    state.chunks = []
                    state.waitingBytes = 0
                    isRoom = state.isPaused
                    state.isPaused = false
                    return .success(joined)
                }
                switch state.end {
                case .success: return .success(nil)
                case .failure(let error): return .failure(error)
                case nil:
                    state.reader = continuation
                    return nil
                }
            }
            if let known { continuation.resume(returning: known) }
        }
        if isRoom { resume() }
        return chunk
    }

    /// Hands over a part of the body to send, when the part before it is on its way.
    /// - Parameter resume: called when the transfer waits for it.
    /// - Returns: false where no more is wanted.
    func offer(_ bytes: [UInt8], resume: @escaping () -> Void) async -> Bool {
        guard !bytes.isEmpty else { return true }
        return await withCheckedContinuation { continuation in
            let (isOver, isPaused) = state.withLock { state in
                guard state.end == nil else { return (true, false) }
                state.upload.chunk = bytes[...]
                state.upload.writer = continuation
                defer { state.upload.isPaused = false }
                return (false, state.upload.isPaused)
            }
            if isOver { continuation.resume(returning: false) }
            if isPaused { resume() }
        }
    }

    /// - Parameter action: called once the transfer has ended, or now.
    func whenFinished(_ action: @escaping @Sendable () -> Void) {
        let isOver = state.withLock { state in
            state.afterEnd = action
            return state.end != nil
        }
        if isOver { action() }
    }

    /// - Parameter isWhole: whether all of the body was given.
    /// - Returns: whether the transfer waits for it.
    func endUpload(isWhole: Bool) -> Bool {
        state.withLock { state in
            state.upload.end = isWhole
            defer { state.upload.isPaused = false }
            return state.upload.isPaused
        }
    }

    // MARK: The thread's side

    func deliver(_ head: ResponseHead) {
        let waiting = state.withLock { state in
            state.head = head
            defer { state.waitsForHead = nil }
            return state.waitsForHead
        }
        waiting?.resume(returning: .success(head))
    }

    /// - Returns: false where it is to be offered again after `next` has made room.
    func deliver(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let (isTaken, reader) = state.withLock { state -> (Bool, CheckedContinuation<Chunk, Never>?) in
            if let reader = state.reader {
                state.reader = nil
                return (true, reader)
            }
            guard state.waitingBytes < Self.maxWaiting else {
                state.isPaused = true
                return (false, nil)
            }
            state.chunks.append(Array(bytes))
            state.waitingBytes += bytes.count
            return (true, nil)
        }
        reader?.resume(returning: .success(Array(bytes)))
        return isTaken
    }

    enum Outgoing {
        case bytes(Int)
        case end, paused, broken
    }

    /// Fills the buffer with what is to be sent.
    func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Outgoing {
        let (outgoing, writer) = state.withLock { state -> (Outgoing, CheckedContinuation<Bool, Never>?) in
            guard !state.upload.chunk.isEmpty else {
                guard let isWhole = state.upload.end else {
                    state.upload.isPaused = true
                    return (.paused, nil)
                }
                return (isWhole ? .end : .broken, nil)
            }
            let part = state.upload.chunk.prefix(buffer.count)
            buffer.copyBytes(from: part)
            state.upload.chunk = state.upload.chunk.dropFirst(part.count)
            guard state.upload.chunk.isEmpty else { return (.bytes(part.count), nil) }
            defer { state.upload.writer = nil }
            return (.bytes(part.count), state.upload.writer)
        }
        writer?.resume(returning: true)
        return outgoing
    }

    /// Ends it, once.
    func finish(_ end: Result<Void, HTTPClientError>) {
        let resume = state.withLock { state -> () -> Void in
            guard state.end == nil else { return {} }
            // libcurl takes half a head for an end as well.
            let end: Result<Void, HTTPClientError> =
                if case .success = end, state.head == nil { .failure(.interrupted("it has no head")) } else { end }
            state.end = end
            let (head, reader, writer) = (state.waitsForHead, state.reader, state.upload.writer)
            let afterEnd = state.afterEnd
            state.afterEnd = nil
            (state.waitsForHead, state.reader, state.upload.writer) = (nil, nil, nil)
            return {
                if case .failure(let error) = end { head?.resume(returning: .failure(error)) }
                reader?.resume(returning: end.map { nil })
                writer?.resume(returning: false)
                afterEnd?()
            }
        }
        resume()
    }
}
