import NIOCore
import NIOHTTP1

/// One connection: turns request parts into a call of the handler, a request at a time. Pipelined requests wait in
/// NIO's pipelining handler in front of this one.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private struct Exchange {
        let source: HTTPBody.Producer.Source
        let writer: HTTPResponseWriter
        let keepsAlive: Bool
        var requestEnded = false
        /// Bytes of the body since its time was set.
        var bodyProgress = 0
    }

    private let handler: HTTPHandler
    private let limits: HTTPLimits
    /// What makes messages of bytes and bytes of messages; the last of them reads.
    private let codec: [any RemovableChannelHandler]
    private var exchange: Exchange?
    private var idleTimer: Scheduled<Void>?
    private var bodyTimer: Scheduled<Void>?

    init(handler: @escaping HTTPHandler, limits: HTTPLimits, codec: [any RemovableChannelHandler]) {
        self.handler = handler
        self.limits = limits
        self.codec = codec
    }

    func channelActive(context: ChannelHandlerContext) {
        startIdleTimer(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        idleTimer?.cancel()
        bodyTimer?.cancel()
        // The writer first: who waits for the body goes on at once, on another thread, and may answer.
        exchange?.writer.clientWentAway()
        exchange?.source.finish(HTTPBodyError.clientGone)
        exchange = nil
        context.fireChannelInactive()
    }

    /// What was no HTTP has its 400 by now, from the handler in front: a second answer would be one too many.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        exchange?.writer.clientWentAway()
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context)
        case .body(let bytes):
            guard let exchange else { return }
            self.exchange!.bodyProgress += bytes.readableBytes
            if exchange.source.yield(bytes) == .stopProducing {
                context.channel.setOption(.autoRead, value: false).whenFailure { _ in }
            }
        case .end:
            bodyTimer?.cancel()
            bodyTimer = nil
            exchange?.requestEnded = true
            exchange?.source.finish()
        }
    }

    /// A body that has come whole by now needs no timer.
    func channelReadComplete(context: ChannelHandlerContext) {
        if let exchange, !exchange.requestEnded, bodyTimer == nil { startBodyTimer(context) }
        context.fireChannelReadComplete()
    }

    private func startBodyTimer(_ context: ChannelHandlerContext) {
        exchange?.bodyProgress = 0
        bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limits.bodyTimeout) { [weak self] in
            guard let self, let exchange, !exchange.requestEnded else { return }
            let isHeldUp = (try? context.channel.syncOptions?.getOption(.autoRead)) == false
            guard isHeldUp || exchange.bodyProgress >= limits.bodyProgress else { return context.close(promise: nil) }
            startBodyTimer(context)
        }
    }

    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        idleTimer?.cancel()
        if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            let goOn = HTTPResponseHead(version: head.version, status: .continue)
            context.writeAndFlush(wrapOutboundOut(.head(goOn)), promise: nil)
        }
        let channel = context.channel
        let producer = HTTPBody.Producer.makeSequence(
            elementType: ByteBuffer.self, failureType: (any Error).self,
            backPressureStrategy: .init(lowWatermark: 2, highWatermark: 8), finishOnDeinit: false,
            delegate: BodyFlow(channel: channel))
        // NIO's decoder reads nothing behind a request for another protocol, whatever the answer.
        let keepsAlive = head.isKeepAlive && !head.headers.contains(name: "upgrade")
        let writer = HTTPResponseWriter(channel: channel, request: head, keepsAlive: keepsAlive)
        exchange = Exchange(source: producer.source, writer: writer, keepsAlive: keepsAlive)
        let request = HTTPRequest(
            method: head.method, target: head.uri, version: head.version, headers: head.headers,
            body: HTTPBody(producer.sequence), remoteAddress: channel.remoteAddress)
        let handler = self.handler
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        Task {
            await handler(request, writer)
            writer.abandonIfUnfinished()
            loop.execute { bound.value.0.end(writer, bound.value.1) }
        }
    }

    /// The handler has returned: the connection waits for the next request, or closes where the client asked for it.
    private func end(_ writer: HTTPResponseWriter, _ context: ChannelHandlerContext) {
        guard let finished = exchange, finished.writer === writer else { return }
        guard finished.keepsAlive else {
            context.close(promise: nil)
            return
        }
        startIdleTimer(context)
        guard finished.requestEnded else { return }
        exchange = nil
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let upgrade = event as? ProtocolUpgrade else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        guard let exchange, exchange.requestEnded else {
            promise?.fail(HTTPBodyError.clientGone)
            return
        }
        self.exchange = nil
        let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: upgrade.headers)
        context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
        let pipeline = context.pipeline.syncOperations
        do { try pipeline.addHandlers(upgrade.handlers.value) } catch {
            context.close(promise: nil)
            promise?.fail(error)
            return
        }
        // The decoder last: when it goes, what it has not read comes to those who are behind it then.
        for handler in [self] + codec { pipeline.removeHandler(handler, promise: nil) }
        promise?.succeed()
    }

    private func startIdleTimer(_ context: ChannelHandlerContext) {
        idleTimer?.cancel()
        idleTimer = context.eventLoop.assumeIsolated().scheduleTask(in: limits.idleTimeout) { [weak self] in
            guard self?.exchange == nil || self?.exchange?.requestEnded == false else { return }
            context.close(promise: nil)
        }
    }
}
