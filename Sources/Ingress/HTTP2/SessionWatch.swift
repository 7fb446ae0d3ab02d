import Logging
import NIOCore
import NIOHTTP2

/// The last handler of an HTTP/2 connection. Ends the connection if it is idle, does not begin, or violates the
/// protocol.
///
/// `NIOHTTP2ServerConnectionManagementHandler` before it sends GOAWAY on `ChannelShouldQuiesceEvent` and closes after
/// the last stream, but waits for the client without limit; this handler sets a limit.
final class SessionWatch: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let limits: ProxyLimits
    private let frames: FrameWatch
    private let logger: Logger
    private var context: ChannelHandlerContext?
    private var streams = 0
    private var hasBegun = false
    private var isQuiescing = false
    private var isBroken = false
    private lazy var deadline = context.map { Deadline($0.eventLoop) { [weak self] in self?.expired() } }

    init(limits: ProxyLimits, frames: FrameWatch, logger: Logger) {
        self.limits = limits
        self.frames = frames
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        IngressMetrics.sessionOpened()
        deadline?.set(limits.headTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        IngressMetrics.sessionClosed(streams: streams)
        self.context = nil
    }

    /// Frames of the connection; the client's SETTINGS come first.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasBegun, case .settings = unwrapInboundIn(data).payload else { return }
        hasBegun = true
        if !isBroken { deadline?.clear() }
        rest()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            isQuiescing = true
            rest()
        }
        context.fireUserInboundEventTriggered(event)
    }

    fileprivate func streamOpened() {
        streams += 1
        IngressMetrics.streamOpened()
        if !isBroken { deadline?.clear() }
    }

    fileprivate func streamClosed() {
        guard context != nil else { return }
        streams -= 1
        IngressMetrics.streamClosed()
        rest()
    }

    /// No stream is open.
    private func rest() {
        guard streams == 0, hasBegun, !isBroken, context != nil else { return }
        deadline?.set(isQuiescing ? limits.lingerTimeout : limits.keepAliveTimeout)
    }

    private func expired() {
        guard hasBegun, !isQuiescing, !isBroken else { return close() }
        context?.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    private func close() { context?.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        context.fireChannelInactive()
    }

    /// A stream error has ended that stream and does not affect the others.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is FrameFloodError { sayGoaway(context) }
        guard error is any NIOHTTP2Error || error is FrameFloodError else { return close() }
        guard frames.hasSaidError, !isBroken else { return }
        isBroken = true
        // Closing at once would keep GOAWAY from a client that is still sending.
        deadline?.set(min(limits.lingerTimeout, .seconds(1)))
        logger.debug("HTTP/2 connection ended", metadata: ["error": "\(type(of: error))"])
        IngressMetrics.sessionBroken()
    }

    /// Ends all streams, as `NIOHTTP2Handler` does after a flood that it detects itself.
    private func sayGoaway(_ context: ChannelHandlerContext) {
        let goaway = HTTP2Frame.FramePayload.goAway(
            lastStreamID: .rootStream, errorCode: .enhanceYourCalm, opaqueData: nil)
        context.writeAndFlush(wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: goaway)), promise: nil)
    }
}

/// Reports which streams are open.
struct StreamCount: NIOHTTP2StreamDelegate {
    private let management: NIOHTTP2ServerConnectionManagementHandler.HTTP2StreamDelegate
    private let watch: NIOLoopBound<SessionWatch>

    init(management: NIOHTTP2ServerConnectionManagementHandler, watch: SessionWatch, loop: any EventLoop) {
        self.management = management.http2StreamDelegate
        self.watch = NIOLoopBound(watch, eventLoop: loop)
    }

    func streamCreated(_ id: HTTP2StreamID, channel: any Channel) {
        management.streamCreated(id, channel: channel)
        watch.value.streamOpened()
    }

    func streamClosed(_ id: HTTP2StreamID, channel: any Channel) {
        management.streamClosed(id, channel: channel)
        watch.value.streamClosed()
    }
}
