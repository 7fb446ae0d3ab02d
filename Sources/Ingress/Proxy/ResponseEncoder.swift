import NIOCore
import NIOHTTP1

/// Writes responses as their heads say (RFC 9112): `HeaderRules` has decided on the framing. What fits is gathered in one
/// buffer until it is flushed, so that an ordinary response is one write; a large part of a body goes out as it is.
final class ResponseEncoder: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = ByteBuffer

    /// Larger parts are not copied.
    private static let copied = 4096
    private var buffer = ByteBuffer()
    private var isChunked = false

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            isChunked = head.headers.contains(name: "transfer-encoding")
            if buffer.readableBytes == 0 {
                buffer = context.channel.allocator.buffer(capacity: 512)
            }
            write(head)
        case .body(.byteBuffer(let bytes)) where bytes.readableBytes > 0:
            if isChunked {
                buffer.writeString(String(bytes.readableBytes, radix: 16))
                buffer.writeStaticString("\r\n")
            }
            if bytes.readableBytes <= Self.copied {
                buffer.writeImmutableBuffer(bytes)
            } else {
                passOn(context)
                context.write(wrapOutboundOut(bytes), promise: nil)
            }
            if isChunked { buffer.writeStaticString("\r\n") }
        case .body: break
        case .end(let trailers):
            guard isChunked else { break }
            buffer.writeStaticString("0\r\n")
            for (name, value) in trailers ?? [:] { write(name, value) }
            buffer.writeStaticString("\r\n")
        }
        promise?.succeed()
    }

    func flush(context: ChannelHandlerContext) {
        passOn(context)
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output { flush(context: context) }
        context.close(mode: mode, promise: promise)
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard buffer.readableBytes > 0 else { return }
        context.write(wrapOutboundOut(buffer), promise: nil)
        buffer = ByteBuffer()
    }

    private func write(_ head: HTTPResponseHead) {
        buffer.writeString(head.version == .http1_0 ? "HTTP/1.0 " : "HTTP/1.1 ")
        buffer.writeString(String(head.status.code))
        buffer.writeStaticString(" ")
        buffer.writeString(head.status.reasonPhrase)
        buffer.writeStaticString("\r\n")
        for (name, value) in head.headers { write(name, value) }
        buffer.writeStaticString("\r\n")
    }

    private func write(_ name: String, _ value: String) {
        buffer.writeString(name)
        buffer.writeStaticString(": ")
        buffer.writeString(value)
        buffer.writeStaticString("\r\n")
    }
}
