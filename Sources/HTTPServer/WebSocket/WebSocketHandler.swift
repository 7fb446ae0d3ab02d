import NIOCore
import NIOWebSocket

/// One connection that speaks WebSocket, behind NIO's decoder and encoder of frames: messages to whoever reads them, answers to
/// pings and close frames, and the end of clients that do not answer any more.
final class WebSocketHandler: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    struct CloseEvent: Sendable {
        var close: WebSocketClose
        var timeout: TimeAmount?
    }

    private enum Phase {
        case open
        /// A close frame has been sent, and the client's is awaited.
        case closing
        case closed
    }

    private let limits: WebSocketLimits
    private let source: WebSocketMessages.Producer.Source
    private let side: WebSocketSide
    private var assembler: WebSocketAssembler
    private var phase = Phase.open
    /// The latest ping that has not been answered, since the client does not read. Older ones need no answer (RFC 6455,
    /// section 5.5.3).
    private var unansweredPing: ByteBuffer?
    private var lastHeard = NIODeadline.now() { didSet { wasAsked = false } }
    /// A ping has gone out since the client was last heard: it is never cut off unasked, however late the timer is.
    private var wasAsked = false
    private var heartbeat: Scheduled<Void>?
    private var closeTimer: Scheduled<Void>?

    private init(_ limits: WebSocketLimits, _ source: WebSocketMessages.Producer.Source, _ side: WebSocketSide) {
        (self.limits, self.source, self.side) = (limits, source, side)
        assembler = WebSocketAssembler(maxMessage: limits.maxMessage, side: side)
    }

    /// What a connection needs to speak WebSocket, in the pipeline's order, and the handle of its route.
    static func make(_ channel: any Channel, _ limits: WebSocketLimits) -> (WebSocket, [any ChannelHandler]) {
        let (socket, handler) = make(channel, limits, .server)
        let decoder = WebSocketFrameDecoder(maxFrameSize: maxFrame(limits))
        return (socket, [WebSocketFrameEncoder(), ByteToMessageHandler(decoder), handler])
    }

    static func maxFrame(_ limits: WebSocketLimits) -> Int { min(limits.maxMessage, Int(UInt32.max)) }

    /// The last of the handlers alone, and its handle.
    static func make(
        _ channel: any Channel, _ limits: WebSocketLimits, _ side: WebSocketSide
    ) -> (WebSocket, WebSocketHandler) {
        let producer = WebSocketMessages.Producer.makeSequence(
            elementType: WebSocketMessage.self, failureType: (any Error).self,
            backPressureStrategy: .init(lowWatermark: 1, highWatermark: 4), finishOnDeinit: true,
            delegate: BodyFlow(channel: channel))
        return (
            WebSocket(channel, WebSocketMessages(producer: producer.sequence)),
            WebSocketHandler(limits, producer.source, side)
        )
    }

    private func outgoing(_ frame: WebSocketFrame) -> NIOAny {
        guard side == .client else { return wrapOutboundOut(frame) }
        var masked = frame
        masked.maskKey = .random()
        return wrapOutboundOut(masked)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        lastHeard = .now()
        startHeartbeat(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        heartbeat?.cancel()
        closeTimer?.cancel()
        // A client that has said that it goes has been told of by now.
        source.finish(WebSocketGone())
        phase = .closed
        context.fireChannelInactive()
    }

    // MARK: what comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard phase != .closed else { return }
        do throws(WebSocketClose) {
            switch try assembler.take(unwrapInboundIn(data)) {
            case nil, .pong: break
            case .message(let message):
                guard phase == .open else { break }
                if source.yield(message) == .stopProducing {
                    context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
                }
            case .ping(let data):
                unansweredPing = data
                answerPing(context)
            case .close(let close): answer(close, context)
            }
        } catch { fail(error, context) }
    }

    /// Also told of a frame that has not come whole: a large message over a slow line is a sign of life, too.
    func channelReadComplete(context: ChannelHandlerContext) {
        lastHeard = .now()
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case NIOWebSocketError.invalidFrameLength: fail(.tooLarge(limit: limits.maxMessage), context)
        case is NIOWebSocketError: fail(.protocolError("a frame of control is too long or in parts"), context)
        default: context.close(promise: nil)
        }
    }

    /// The server ends.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { close(.goingAway, limits.closeTimeout, context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func answerPing(_ context: ChannelHandlerContext) {
        guard phase == .open, context.channel.isWritable, let data = unansweredPing else { return }
        unansweredPing = nil
        context.writeAndFlush(outgoing(WebSocketFrame(fin: true, opcode: .pong, data: data)), promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // A client that takes what it is sent, however slowly, is there, even if it has no time for pings yet.
        lastHeard = .now()
        answerPing(context)
        context.fireChannelWritabilityChanged()
    }

    // MARK: what goes

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard phase == .open else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        context.write(side == .server ? data : outgoing(unwrapOutboundIn(data)), promise: promise)
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let event = event as? CloseEvent else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        close(event.close, event.timeout ?? limits.closeTimeout, context)
        promise?.succeed()
    }

    // MARK: its end

    /// Begins the end from this side.
    private func close(_ close: WebSocketClose, _ timeout: TimeAmount, _ context: ChannelHandlerContext) {
        guard phase == .open else { return }
        phase = .closing
        source.finish()
        // Nobody reads messages any more, but the client's close frame comes behind them.
        resumeReading(context)
        context.writeAndFlush(outgoing(WebSocketFrame(close)), promise: nil)
        cut(context, after: timeout)
    }

    /// The client has closed, or has answered. The server is the one that ends the connection then (RFC 6455, section 7.1.1).
    private func answer(_ close: WebSocketClose, _ context: ChannelHandlerContext) {
        let wasOpen = phase == .open
        phase = .closed
        guard wasOpen else { return context.close(promise: nil) }
        source.finish()
        cut(context, after: limits.closeTimeout)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        context.writeAndFlush(outgoing(WebSocketFrame(close)), promise: written)
    }

    /// The client has broken the protocol: it is told why, and nothing it sends is looked at any more. The connection is
    /// closed for writing first, since to close it whole with bytes unread would take the close frame back.
    private func fail(_ close: WebSocketClose, _ context: ChannelHandlerContext) {
        guard phase != .closed else { return }
        let wasOpen = phase == .open
        phase = .closed
        source.finish(close)
        cut(context, after: limits.closeTimeout)
        guard wasOpen else { return }
        resumeReading(context)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in context.close(mode: .output, promise: nil) }
        context.writeAndFlush(outgoing(WebSocketFrame(close)), promise: written)
    }

    private func resumeReading(_ context: ChannelHandlerContext) {
        context.channel.setOption(.autoRead, value: true).assumeIsolated().whenSuccess { context.read() }
    }

    private func cut(_ context: ChannelHandlerContext, after timeout: TimeAmount) {
        heartbeat?.cancel()
        closeTimer?.cancel()
        closeTimer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { context.close(promise: nil) }
    }

    private func startHeartbeat(_ context: ChannelHandlerContext) {
        heartbeat = context.eventLoop.assumeIsolated().scheduleTask(in: limits.pingInterval) { [weak self] in
            guard let self, phase == .open else { return }
            if (try? context.channel.syncOptions?.getOption(.autoRead)) == false {
                lastHeard = .now()
            }
            let silence = NIODeadline.now() - lastHeard
            guard silence < limits.maxSilence || !wasAsked else { return context.close(promise: nil) }
            if silence >= limits.pingInterval {
                wasAsked = true
                let ping = WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer())
                context.writeAndFlush(outgoing(ping), promise: nil)
            }
            startHeartbeat(context)
        }
    }
}
