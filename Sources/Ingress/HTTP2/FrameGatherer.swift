import NIOCore

/// In front of `NIOHTTP2Handler`, which writes each frame on its own and flushes for each stream: makes one write of what all
/// streams of a connection have sent in one turn of the event loop, and with TLS one record.
final class FrameGatherer: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// Larger buffers are not copied: with frames of 16 KiB that would cost more than a write of several buffers.
    private static let copied = 4096
    /// Passed on without a flush, so that it counts against the channel's watermark. What a record of TLS takes.
    private static let most = 16 << 10

    private var gathered = ByteBuffer()
    /// Of all writes that are gathered.
    private var written: EventLoopPromise<Void>?
    private var flushes = false
    private var context: ChannelHandlerContext?

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        written?.fail(ChannelError.ioOnClosedChannel)
        written = nil
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .byteBuffer(let bytes) = unwrapOutboundIn(data), bytes.readableBytes <= Self.copied else {
            passOn(context)
            return context.write(data, promise: promise)
        }
        if gathered.capacity == 0 { gathered = context.channel.allocator.buffer(capacity: 2048) }
        gathered.writeImmutableBuffer(bytes)
        if let promise {
            if let written { written.futureResult.cascade(to: promise) } else { written = promise }
        }
        if gathered.readableBytes >= Self.most { passOn(context) }
    }

    /// At the end of the loop's turn, behind all sockets that are ready.
    func flush(context: ChannelHandlerContext) {
        guard !flushes else { return }
        flushes = true
        context.eventLoop.assumeIsolated().execute {
            guard let context = self.context, self.flushes else { return }
            self.flushNow(context)
        }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode != .input { flushNow(context) }
        context.close(mode: mode, promise: promise)
    }

    private func flushNow(_ context: ChannelHandlerContext) {
        flushes = false
        passOn(context)
        context.flush()
    }

    private func passOn(_ context: ChannelHandlerContext) {
        guard gathered.readableBytes > 0 else { return }
        let bytes = gathered, promise = written
        gathered = ByteBuffer()
        written = nil
        context.write(wrapOutboundOut(.byteBuffer(bytes)), promise: promise)
    }
}
