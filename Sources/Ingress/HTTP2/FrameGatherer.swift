import NIOCore

/// Combines what all streams of a connection send in one turn of the event loop into one write, and with TLS one
/// record. It is placed before `NIOHTTP2Handler`, which writes each frame by itself and flushes for each stream.
final class FrameGatherer: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// Larger buffers are not copied, because with 16 KiB frames that would cost more than a write of several buffers.
    private static let copied = 4096
    /// More than this is passed on without a flush, so that it counts towards the channel's watermark. The size of a
    /// TLS record.
    private static let maxGathered = 16 << 10

    private var gathered = ByteBuffer()
    /// The promise of all combined writes.
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
        if gathered.readableBytes >= Self.maxGathered { passOn(context) }
    }

    /// Runs at the end of the loop's turn, after all ready sockets.
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
