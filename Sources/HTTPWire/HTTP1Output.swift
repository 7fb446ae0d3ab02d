import NIOCore

/// The outbound half of a handler that writes HTTP/1: what is written is gathered until it is flushed, and is out before the
/// output ends.
@usableFromInline package protocol HTTP1Output: ChannelOutboundHandler where OutboundOut == ByteBuffer {
    var encoder: MessageEncoder { get set }
}

extension HTTP1Output {
    @inlinable package func write(_ part: BodyPart, to context: ChannelHandlerContext?) {
        switch part {
        case .bytes(let bytes):
            for ready in encoder.write(bytes) { context?.write(wrapOutboundOut(ready), promise: nil) }
        case .end(let trailers): encoder.writeEnd(trailers)
        }
    }

    @inlinable package func flush(context: ChannelHandlerContext) {
        if let bytes = encoder.take() { context.write(wrapOutboundOut(bytes), promise: nil) }
        context.flush()
    }

    @inlinable package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output { flush(context: context) }
        context.close(mode: mode, promise: promise)
    }
}
