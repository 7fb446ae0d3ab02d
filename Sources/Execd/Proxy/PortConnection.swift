import HTTPServer
import HTTPWire
import NIOCore
import NIOPosix

/// A connection to a port of the sandbox: requests go out as bytes, responses come as their parts.
struct PortConnection: Sendable {
    typealias Channel = NIOAsyncChannel<ResponsePart, ByteBuffer>

    private static let patience = TimeAmount.seconds(10)
    private static let maxHeadBytes = 128 << 10, maxHeadFields = 512

    /// On the sandbox's loopback, of either family: some applications listen on one alone.
    /// - Throws: what the last attempt throws.
    static func open(_ port: Int, on loop: any EventLoop, toHEAD: Bool) async throws -> Channel {
        do { return try await open("127.0.0.1", port, loop, toHEAD) } catch {
            guard let other = try? await open("::1", port, loop, toHEAD) else { throw error }
            return other
        }
    }

    private static func open(_ host: String, _ port: Int, _ loop: any EventLoop, _ toHEAD: Bool) async throws -> Channel
    {
        // A literal is not looked up.
        let address = try SocketAddress(ipAddress: host, port: port)
        return try await ClientBootstrap(group: loop).connectTimeout(patience)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ResponseParts(ResponseDecoder(maxBytes: maxHeadBytes, maxFields: maxHeadFields), toHEAD: toHEAD)
                    )
                    return try Channel(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
    }
}

/// Reads the one response of a connection; what stands behind a change of protocol comes as the body's bytes.
private final class ResponseParts: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ResponsePart

    private var decoder: ResponseDecoder
    private var bytes = ByteBuffer()
    private var isTunnel = false
    private var hasEnded = false

    init(_ decoder: ResponseDecoder, toHEAD: Bool) {
        self.decoder = decoder
        self.decoder.expect(toHEAD: toHEAD)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var more = unwrapInboundIn(data)
        guard !isTunnel else { return context.fireChannelRead(wrapInboundOut(.body(.bytes(more)))) }
        bytes.append(&more)
        do throws(HTTPMessageError) {
            while let part = try decoder.next(&bytes) { pass(part, context) }
        } catch { return context.close(promise: nil) }
        guard isTunnel, bytes.readableBytes > 0 else { return }
        context.fireChannelRead(wrapInboundOut(.body(.bytes(bytes))))
        bytes = ByteBuffer()
    }

    private func pass(_ part: ResponsePart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head) where head.code == 101: isTunnel = true
        // Its end is none of the tunnel's.
        case .body(.end) where isTunnel: return
        case .body(.end): hasEnded = true
        default: break
        }
        context.fireChannelRead(wrapInboundOut(part))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        bytes.shrinkIfWasteful()
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { finish(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context)
        context.fireChannelInactive()
    }

    /// A response whose end is that of the connection.
    private func finish(_ context: ChannelHandlerContext) {
        guard !hasEnded, !isTunnel, let part = decoder.finish() else { return }
        pass(part, context)
        context.fireChannelReadComplete()
    }
}
