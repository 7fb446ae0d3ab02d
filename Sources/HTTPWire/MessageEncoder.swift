import NIOCore
import NIOHTTP1

/// Writes messages as their heads say (RFC 9112): `HeaderRules` has decided on the framing. What fits is gathered in one
/// buffer until it is taken, so that an ordinary message is one write; a large part of a body goes out as it is.
@usableFromInline package struct MessageEncoder {
    /// Larger parts are not copied.
    private static let copied = 4096
    private var buffer = ByteBuffer()
    private var isChunked = false

    package init() {}

    package mutating func write(_ head: OutgoingRequest) {
        isChunked = head.isChunked
        if buffer.readableBytes == 0 { buffer = head.bytes } else { buffer.writeImmutableBuffer(head.bytes) }
    }

    /// The head's own storage is where the rest is gathered, unless there is something in front of it: whoever keeps the head
    /// has it copied.
    package mutating func write(_ head: consuming OutgoingResponse) {
        isChunked = head.isChunked
        let bytes = head.takeBytes()
        if buffer.readableBytes == 0 { buffer = bytes } else { buffer.writeImmutableBuffer(bytes) }
    }

    /// - Returns: what must go out now, in this order; empty where all of it has been gathered.
    @usableFromInline package mutating func write(_ bytes: ByteBuffer) -> [ByteBuffer] {
        // An empty chunk would end the body.
        guard bytes.readableBytes > 0 else { return [] }
        if isChunked {
            buffer.writeString(String(bytes.readableBytes, radix: 16))
            buffer.writeStaticString("\r\n")
        }
        var ready: [ByteBuffer] = []
        if bytes.readableBytes <= Self.copied {
            buffer.writeImmutableBuffer(bytes)
        } else {
            if let front = take() { ready.append(front) }
            ready.append(bytes)
        }
        if isChunked { buffer.writeStaticString("\r\n") }
        return ready
    }

    @usableFromInline package mutating func writeEnd(_ trailers: HTTPHeaders?) {
        guard isChunked else { return }
        buffer.writeStaticString("0\r\n")
        for (name, value) in trailers ?? [:] { buffer.writeField(name, value) }
        buffer.writeStaticString("\r\n")
    }

    /// What has been gathered.
    @usableFromInline package mutating func take() -> ByteBuffer? {
        guard buffer.readableBytes > 0 else { return nil }
        defer { buffer = ByteBuffer() }
        return buffer
    }
}
