import HTTPWire
import NIOCore
import NIOHTTP1

/// A client's connection of HTTP/1.1: bytes on one side, and on the other `ClientConnection`, which it calls and is called
/// by directly. Parts of messages never pass the pipeline, where each would be put into a box.
final class HTTP1Codec: ChannelDuplexHandler, RequestCarrier, HTTP1Output {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let scheme: String
    let isSingleRequest = false
    let asksByMethod = false
    private var reader: RequestReader
    var encoder = MessageEncoder()
    /// Behind this handler in the pipeline, and let go when this is taken out.
    var connection: ClientConnection?
    private var context: ChannelHandlerContext?

    init(scheme: String, limits: RequestHeadCheck) {
        self.scheme = scheme
        reader = RequestReader(limits)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        connection = nil
    }

    // MARK: from the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data))
        do throws(HTTPMessageError) {
            while let part = try reader.next() { connection?.receive(part) }
        } catch { context.fireErrorCaught(error) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        reader.rest()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) { if reader.takesBytes { context.read() } }

    // MARK: to the client

    func write(_ head: consuming OutgoingResponse, from _: ChannelHandlerContext) { encoder.write(head) }

    func write(_ part: BodyPart, from _: ChannelHandlerContext) { write(part, to: context) }

    // MARK: RequestCarrier

    func drop() { reader.drop() }

    /// The client has the key that the answer depends on.
    func agrees(_ head: ReceivedResponse) -> Bool { true }

    func insert(_ end: TunnelEnd, into channel: any Channel) throws {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandler(end, position: .before(self))
    }

    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]> {
        channel.eventLoop.makeSucceededFuture(reader.leftovers())
    }
}
