import NIOCore
import NIOHTTP1

/// In the place of NIO's encoder on the server proxy's listener: a sandbox's fields keep their bytes (`FieldText`).
final class ResponsePartsHandler: ChannelOutboundHandler {
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = ByteBuffer

    private var encoder = MessageEncoder()

    /// Heads say how their bodies are framed: here it is not known what was asked.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            encoder.write(OutgoingResponse(head))
        case .body(.byteBuffer(let bytes)):
            for ready in encoder.write(bytes) { context.write(wrapOutboundOut(ready), promise: nil) }
        case .body:
            promise?.fail(ChannelError.operationUnsupported)
            return
        case .end(let trailers): encoder.writeEnd(trailers)
        }
        guard let promise else { return }
        // Whoever waits for a part waits until the socket has taken it.
        context.write(wrapOutboundOut(encoder.take() ?? ByteBuffer()), promise: promise)
    }

    func flush(context: ChannelHandlerContext) {
        if let bytes = encoder.take() { context.write(wrapOutboundOut(bytes), promise: nil) }
        context.flush()
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output { flush(context: context) }
        context.close(mode: mode, promise: promise)
    }
}
