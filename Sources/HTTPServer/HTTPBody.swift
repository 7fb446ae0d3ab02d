import NIOCore

/// Why a body could not be read to its end.
package enum HTTPBodyError: Error, Equatable, CustomStringConvertible {
    case tooLarge(limit: Int)
    case clientGone

    package var description: String {
        switch self {
        case .tooLarge(let limit): "the request body is larger than \(limit) bytes"
        case .clientGone: "the client closed the connection before the body ended"
        }
    }
}

/// A request body, read once, with back-pressure: while nobody reads it, the socket is not read either.
package struct HTTPBody: AsyncSequence, Sendable {
    package typealias Element = ByteBuffer

    private enum Source: Sendable {
        case whole(ByteBuffer)
        case stream(Unread)
    }

    /// A body that nobody may read goes with its request.
    private final class Unread: Sendable {
        let queue: BodyQueue
        init(_ queue: BodyQueue) { self.queue = queue }
        deinit { queue.leave(unread: true) }
    }

    /// And one that is read with its reader.
    fileprivate final class Reading: Sendable {
        let queue: BodyQueue
        init(_ queue: BodyQueue) {
            self.queue = queue
            queue.beginReading()
        }
        deinit { queue.leave() }
    }

    private let source: Source

    package static let empty = HTTPBody(ByteBuffer())

    package init(_ bytes: ByteBuffer) { source = .whole(bytes) }
    init(_ queue: BodyQueue) { source = .stream(Unread(queue)) }

    /// The whole body.
    /// - Throws: `HTTPBodyError.tooLarge` past `limit` bytes, `clientGone` when the connection breaks.
    package func collect(upTo limit: Int) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        for try await part in self {
            guard whole.readableBytes + part.readableBytes <= limit else {
                throw HTTPBodyError.tooLarge(limit: limit)
            }
            if whole.readableBytes == 0 { whole = part } else { whole.writeImmutableBuffer(part) }
        }
        return whole
    }

    package func makeAsyncIterator() -> Iterator {
        switch source {
        case .whole(let bytes): Iterator(whole: bytes.readableBytes > 0 ? bytes : nil)
        case .stream(let unread): Iterator(stream: Reading(unread.queue))
        }
    }

    package struct Iterator: AsyncIteratorProtocol, Sendable {
        private var whole: ByteBuffer?
        private var stream: Reading?

        fileprivate init(whole: ByteBuffer?) { self.whole = whole }
        fileprivate init(stream: Reading) { self.stream = stream }

        package mutating func next() async throws -> ByteBuffer? {
            if let stream { return try await stream.queue.next() }
            defer { whole = nil }
            return whole
        }

        /// The next part, for a thread that waits; nil where none comes in time, and at the end: `next` says which.
        /// - Parameter deadline: nanoseconds of `SystemClock.monotonicNanoseconds`.
        package func next(until deadline: UInt64) -> ByteBuffer? { stream?.queue.next(until: deadline) }
    }
}

/// Carries the reader's appetite back to the channel: reading stops when the buffer is full and goes on when it drains.
final class BodyFlow: NIOAsyncSequenceProducerDelegate, Sendable {
    private let channel: any Channel

    init(channel: any Channel) { self.channel = channel }

    func produceMore() { resume() }
    // A handler that stops reading early: the rest is read and thrown away, so that the connection can be used again.
    func didTerminate() { resume() }

    private func resume() {
        channel.setOption(.autoRead, value: true).whenSuccess { [channel] in channel.read() }
    }
}
