import NIOCore
import NIOHTTP1

/// Writes messages as their heads say (RFC 9112): `HeaderRules` has decided on the framing. What fits is gathered in one
/// buffer until it is taken, so that an ordinary message is one write; a large part of a body goes out as it is.
struct MessageEncoder {
    /// Larger parts are not copied.
    private static let copied = 4096
    private var buffer = ByteBuffer()
    private var isChunked = false
    private let allocator: ByteBufferAllocator

    init(allocator: ByteBufferAllocator) { self.allocator = allocator }

    mutating func write(_ head: HTTPRequestHead) {
        begin(head.headers)
        buffer.writeString(head.method.rawValue)
        buffer.writeStaticString(" ")
        buffer.writeString(head.uri)
        buffer.writeStaticString(" HTTP/1.1\r\n")
        write(head.headers)
    }

    mutating func write(_ head: HTTPResponseHead) {
        begin(head.headers)
        buffer.writeStaticString(head.version == .http1_0 ? "HTTP/1.0 " : "HTTP/1.1 ")
        buffer.writeString(String(head.status.code))
        buffer.writeStaticString(" ")
        buffer.writeString(head.status.reasonPhrase)
        buffer.writeStaticString("\r\n")
        write(head.headers)
    }

    private mutating func begin(_ headers: HTTPHeaders) {
        isChunked = headers.contains(name: "transfer-encoding")
        if buffer.readableBytes == 0 { buffer = allocator.buffer(capacity: 512) }
    }

    private mutating func write(_ headers: HTTPHeaders) {
        for (name, value) in headers { write(name, value) }
        buffer.writeStaticString("\r\n")
    }

    private mutating func write(_ name: String, _ value: String) {
        buffer.writeString(name)
        buffer.writeStaticString(": ")
        buffer.writeString(value)
        buffer.writeStaticString("\r\n")
    }

    /// - Returns: what must go out now, in this order; empty where all of it has been gathered.
    mutating func write(_ bytes: ByteBuffer) -> [ByteBuffer] {
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

    mutating func writeEnd(_ trailers: HTTPHeaders?) {
        guard isChunked else { return }
        buffer.writeStaticString("0\r\n")
        write(trailers ?? [:])
    }

    /// What has been gathered.
    mutating func take() -> ByteBuffer? {
        guard buffer.readableBytes > 0 else { return nil }
        defer { buffer = ByteBuffer() }
        return buffer
    }
}
