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

    /// Of what has come at once, so that whoever takes all of it changes threads once.
    typealias Producer = NIOThrowingAsyncSequenceProducer<
        [ByteBuffer], any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, BodyFlow
    >

    private enum Source: Sendable {
        case whole(ByteBuffer)
        case stream(Producer)
    }
    private let source: Source

    package static let empty = HTTPBody(ByteBuffer())

    package init(_ bytes: ByteBuffer) { source = .whole(bytes) }
    init(_ producer: Producer) { source = .stream(producer) }

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
        case .stream(let producer): Iterator(stream: producer.makeAsyncIterator())
        }
    }

    package struct Iterator: AsyncIteratorProtocol {
        private var stream: Producer.AsyncIterator?
        /// What has come and has not been taken, the next part last.
        private var parts: [ByteBuffer] = []

        init(whole: ByteBuffer?) { parts = whole.map { [$0] } ?? [] }
        init(stream: Producer.AsyncIterator) { self.stream = stream }

        package mutating func next() async throws -> ByteBuffer? {
            if parts.isEmpty { parts = try await stream?.next()?.reversed() ?? [] }
            return parts.popLast()
        }

        /// All parts that have come, in their order; waits for one at least. nil at the end.
        package mutating func nextParts() async throws -> [ByteBuffer]? {
            guard parts.isEmpty else {
                defer { parts = [] }
                return parts.reversed()
            }
            return try await stream?.next()
        }
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
