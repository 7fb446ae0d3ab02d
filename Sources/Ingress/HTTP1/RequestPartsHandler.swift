import NIOCore
import NIOHTTP1

/// In the place of NIO's decoder where other handlers serve the connection, too: the server proxy's listener. They hear of
/// the parser's errors alone.
final class RequestPartsHandler: ChannelInboundHandler, ChannelOutboundHandler, RequestCarrier {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = Never

    let scheme = "http"
    let isSingleRequest = false
    let asksByMethod = false
    private var reader: RequestReader

    init(limits: RequestHeadCheck) { reader = RequestReader(limits) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        reader.append(unwrapInboundIn(data))
        do throws(ProxyError) {
            while let part = try reader.next() { context.fireChannelRead(wrapInboundOut(part)) }
        } catch {
            context.fireErrorCaught(error == .headTooLarge ? HTTPParserError.headerOverflow : HTTPParserError.unknown)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        reader.rest()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) { if reader.takesBytes { context.read() } }

    func drop() { reader.drop() }

    func agrees(_ head: ReceivedResponse) -> Bool { true }

    func insert(_ end: TunnelEnd, into channel: any Channel) throws {
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandler(end, position: .first)
    }

    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]> {
        channel.eventLoop.makeSucceededFuture(reader.leftovers())
    }
}
