import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// Presents one HTTP/2 stream as HTTP/1.1 parts, and as bytes once a WebSocket is open. Malformed messages end the
/// stream here.
final class StreamCodec: ChannelDuplexHandler, RequestCarrier {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTP2Frame.FramePayload

    private enum Phase {
        case head, body
        /// CONNECT was passed on as a handshake; the sandbox has not answered yet.
        case handshake(accept: String)
        case tunnel
        /// Refused; further input is dropped.
        case dead
    }

    let scheme: String
    let isSingleRequest = true
    private(set) var asksByMethod = false
    private var phase = Phase.head
    private var context: ChannelHandlerContext?
    private var clientEnded = false
    private var serverBegan = false
    private var serverEnded = false
    /// Held back, because it may turn out to be the last frame.
    private var pending: HTTP2Frame.FramePayload?
    /// Bytes from the client before the tunnel was open.
    private var early: [ByteBuffer] = []

    init(scheme: String) { self.scheme = scheme }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    // MARK: from the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .headers(let headers):
            clientEnded = clientEnded || headers.endStream
            receive(headers, context)
        case .data(let data):
            clientEnded = clientEnded || data.endStream
            guard case .byteBuffer(let bytes) = data.data else { return }
            receive(bytes, data.endStream, context)
        default: break
        }
    }

    private func receive(_ headers: HTTP2Frame.FramePayload.Headers, _ context: ChannelHandlerContext) {
        do throws(RequestBlock.RequestBlockError) {
            switch phase {
            case .head:
                try begin(RequestBlock(headers.headers, endsStream: headers.endStream), headers.endStream, context)
            case .body:
                let trailers = try RequestBlock.trailers(headers.headers)
                context.fireChannelRead(wrapInboundOut(.end(trailers)))
            case .handshake, .tunnel: throw RequestBlock.RequestBlockError(reason: "a tunnel cannot have trailers")
            case .dead: break
            }
        } catch {
            phase = .dead
            reset(.protocolError, context)
        }
    }

    private func begin(_ block: RequestBlock, _ ends: Bool, _ context: ChannelHandlerContext) {
        var head = block.head
        if let refusal = block.refusal {
            phase = .dead
            return answer(refusal, to: head.method, context)
        }
        phase = .body
        if block.opensWebSocket {
            let key = WebSocketKey.random()
            head.headers.add(name: "sec-websocket-key", value: key)
            asksByMethod = true
            phase = .handshake(accept: WebSocketKey.accept(key))
        }
        context.fireChannelRead(wrapInboundOut(.head(head)))
        if ends || block.opensWebSocket { context.fireChannelRead(wrapInboundOut(.end(nil))) }
    }

    private func receive(_ bytes: ByteBuffer, _ ends: Bool, _ context: ChannelHandlerContext) {
        switch phase {
        case .body:
            if bytes.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(.body(bytes))) }
            if ends { context.fireChannelRead(wrapInboundOut(.end(nil))) }
        case .handshake: if bytes.readableBytes > 0 { early.append(bytes) }
        case .tunnel:
            if bytes.readableBytes > 0 { context.fireChannelRead(LeftoverBytes.wrap(bytes)) }
            if ends { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        case .head, .dead: break
        }
    }

    /// Until the sandbox has agreed, the client's bytes wait in the stream's window.
    func read(context: ChannelHandlerContext) {
        if case .handshake = phase { return }
        context.read()
    }

    // MARK: to the client

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .tunnel = phase {
            let payload = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(LeftoverBytes.unwrap(data))))
            return context.write(wrapOutboundOut(payload), promise: promise)
        }
        switch unwrapOutboundIn(data) {
        case .head(let head): write(head, context)
        case .body(.byteBuffer(let bytes)):
            writePending(context)
            pending = .data(.init(data: .byteBuffer(bytes)))
        case .body: break
        case .end(let trailers): writeEnd(trailers, context)
        }
        promise?.succeed()
    }

    private func write(_ head: HTTPResponseHead, _ context: ChannelHandlerContext) {
        writePending(context)
        let opens = head.status == .switchingProtocols
        pending = .headers(.init(headers: ResponseBlock.fields(head, opensWebSocket: opens)))
        if opens || head.status.code >= 200 { serverBegan = true } else { writePending(context) }
    }

    private func writeEnd(_ trailers: HTTPHeaders?, _ context: ChannelHandlerContext) {
        var last = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
        if let trailers, !trailers.isEmpty {
            writePending(context)
            last = .headers(.init(headers: ResponseBlock.trailers(trailers), endStream: true))
        } else if case .headers(var headers) = pending {
            headers.endStream = true
            last = .headers(headers)
        } else if case .data(var data) = pending {
            data.endStream = true
            last = .data(data)
        }
        pending = nil
        writeLast(last, context)
    }

    /// After a response that came before the end of the request, the client is told to stop (RFC 9113, section 8.1).
    private func writeLast(_ payload: HTTP2Frame.FramePayload, _ context: ChannelHandlerContext) {
        serverEnded = true
        guard !clientEnded else { return context.write(wrapOutboundOut(payload), promise: nil) }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.write(wrapOutboundOut(payload)).whenSuccess {
            guard let context = bound.value.context, !bound.value.clientEnded else { return }
            bound.value.reset(.noError, context)
        }
    }

    private func writePending(_ context: ChannelHandlerContext) {
        guard let payload = pending else { return }
        pending = nil
        context.write(wrapOutboundOut(payload), promise: nil)
    }

    func flush(context: ChannelHandlerContext) {
        writePending(context)
        context.flush()
    }

    private func answer(_ refusal: RequestBlock.Refusal, to method: HTTPMethod, _ context: ChannelHandlerContext) {
        serverBegan = true
        let headers: HPACKHeaders = [
            ":status": String(refusal.status.code), "content-type": "text/plain; charset=utf-8",
            "content-length": String(refusal.text.utf8.count),
        ]
        if method == .HEAD {
            writeLast(.headers(.init(headers: headers, endStream: true)), context)
        } else {
            context.write(wrapOutboundOut(.headers(.init(headers: headers))), promise: nil)
            writeLast(.data(.init(data: .byteBuffer(ByteBuffer(string: refusal.text)), endStream: true)), context)
        }
        context.flush()
    }

    private func reset(_ code: HTTP2ErrorCode, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        pending = nil
        context.writeAndFlush(wrapOutboundOut(.rstStream(code)), promise: nil)
    }

    // MARK: ends

    /// Ends the stream with its last frames. A stream that is cut off in a response is reset, so that it is never taken
    /// for complete.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .input: promise?.succeed()
        case .output:
            if case .tunnel = phase, !serverEnded {
                writeLastOfTunnel(context)
            }
            flush(context: context)
            promise?.succeed()
        case .all:
            guard serverBegan && !serverEnded, !isTunnel, context.channel.isActive else {
                return context.close(mode: .all, promise: promise)
            }
            reset(.internalError, context)
            promise?.succeed()
        }
    }

    private var isTunnel: Bool { if case .tunnel = phase { true } else { false } }

    private func writeLastOfTunnel(_ context: ChannelHandlerContext) {
        serverEnded = true
        let last = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
        context.write(wrapOutboundOut(last), promise: nil)
    }

    // MARK: another protocol

    func drop() { phase = .dead }

    func agrees(_ head: ReceivedResponse) -> Bool {
        guard case .handshake(let accept) = phase else { return false }
        let headers = head.headers, protocols = headers[canonicalForm: "upgrade"]
        return headers["sec-websocket-accept"] == [accept]
            && protocols.count == 1 && String(protocols[0]).isEqualIgnoringCase(to: "websocket")
    }

    func insert(_ end: TunnelEnd, into channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(end, position: .after(self))
    }

    func switchProtocols(on channel: any Channel) -> EventLoopFuture<[ByteBuffer]> {
        phase = .tunnel
        if clientEnded { context?.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        let early = self.early
        self.early = []
        return channel.eventLoop.makeSucceededFuture(early)
    }
}
