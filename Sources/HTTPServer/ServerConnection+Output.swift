import HTTPWire
import NIOCore
import NIOHTTP1

/// What goes to the client, from handlers of the pipeline and from relays.
extension ServerConnection {
    /// A value with the end of a line would be another field, or another answer.
    static func areFields(_ headers: HTTPHeaders) -> Bool {
        headers.allSatisfy { ASCII.isToken($0.name) && ASCII.isFieldValue($0.value) }
    }

    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head):
            guard Self.areFields(head.headers) else {
                promise?.fail(HTTPBodyError.clientGone)
                return abort()
            }
            encoder.write(OutgoingResponse(head))
        case .body(.byteBuffer(let bytes)):
            if case .handler(let exchange) = turn { exchange.hand(bytes.readableBytes) }
            write(.bytes(bytes), to: context)
        case .body:
            promise?.fail(ChannelError.operationUnsupported)
            return
        case .end(let trailers): encoder.writeEnd(trailers)
        }
        guard let promise else { return }
        // Whoever waits for a part waits until the socket has taken it.
        context.write(wrapOutboundOut(encoder.take() ?? ByteBuffer()), promise: promise)
    }

    package func flush(context: ChannelHandlerContext) {
        if let bytes = encoder.take() { context.write(wrapOutboundOut(bytes), promise: nil) }
        context.flush()
        if case .handler(let exchange) = turn { exchange.flushed() }
    }

    /// What still comes is read and thrown away once the output has ended.
    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .output {
            flush(context: context)
            turn = .over
            drop()
        }
        context.close(mode: mode, promise: promise)
    }

    // MARK: for relays

    package func write(_ head: consuming OutgoingResponse) { encoder.write(head) }

    package func write(_ part: BodyPart) { write(part, to: context) }

    /// What comes from now on is not looked at.
    package func drop() {
        reader.drop()
        guard readPending else { return }
        readPending = false
        context?.read()
    }

    /// Puts a handler where it sees bytes, and this no more of them.
    package func insert(_ handler: any ChannelHandler) throws {
        guard let context else { throw ChannelError.ioOnClosedChannel }
        try context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try context.pipeline.syncOperations.addHandler(handler, position: .before(self))
    }

    /// Stops speaking HTTP.
    /// - Returns: what has come behind the request.
    package func switchProtocols() -> [ByteBuffer] {
        turn = .over
        return reader.leftovers()
    }
}
