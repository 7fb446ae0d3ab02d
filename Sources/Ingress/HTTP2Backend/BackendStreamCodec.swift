import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// Translates one HTTP/2 stream to a sandbox, so that `BackendConnection` sees an HTTP/1.1 connection. This costs an
/// extra encoding and parsing, but exchanges work in the same way whichever version the sandbox speaks.
final class BackendStreamCodec: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    private var request: RequestDecoder
    private var bytes = ByteBuffer()
    private var isHEAD = false
    /// nil until the final head has arrived.
    private var framing: BackendMessages.Framing?
    private var responseEnded = false

    init(limits: RequestHeadCheck) {
        // The head may have grown beyond the limits by the fields that were added for the sandbox.
        var limits = limits
        limits.maxBytes *= 2
        limits.maxFields *= 2
        request = RequestDecoder(limits)
    }

    // MARK: to the sandbox

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var more = unwrapOutboundIn(data)
        bytes.append(&more)
        do throws(HTTPMessageError) {
            while let part = try request.next(&bytes) { write(part, context) }
            promise?.succeed()
        } catch {
            promise?.fail(error)
            context.close(promise: nil)
        }
    }

    private func write(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            isHEAD = head.method == .HEAD
            context.write(wrapOutboundOut(.headers(.init(headers: BackendMessages.request(head)))), promise: nil)
        case .body(let bytes): context.write(wrapOutboundOut(.data(.init(data: .byteBuffer(bytes)))), promise: nil)
        case .end(let trailers?) where !trailers.isEmpty:
            let block = BackendMessages.trailers(trailers)
            context.write(wrapOutboundOut(.headers(.init(headers: block, endStream: true))), promise: nil)
        case .end:
            let last = HTTP2Frame.FramePayload.data(.init(data: .byteBuffer(ByteBuffer()), endStream: true))
            context.write(wrapOutboundOut(last), promise: nil)
        }
    }

    // MARK: from the sandbox

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !responseEnded else { return }
        do throws(BackendMessages.BackendMessageError) {
            switch unwrapInboundIn(data) {
            case .headers(let headers): try receive(headers.headers, headers.endStream, context)
            case .data(let data):
                guard case .byteBuffer(let bytes) = data.data else { return }
                try receive(bytes, data.endStream, context)
            default: break
            }
        } catch { context.close(promise: nil) }
    }

    private func receive(
        _ block: HPACKHeaders, _ ends: Bool, _ context: ChannelHandlerContext
    ) throws(BackendMessages.BackendMessageError) {
        if framing == nil {
            let head = try BackendMessages.response(block, mayHaveBody: !isHEAD)
            guard head.code >= 200 || !ends else { throw BackendMessages.BackendMessageError() }
            if head.code >= 200 { framing = head.framing }
            pass(head.bytes, context)
            if ends { try end(nil, context) }
        } else {
            guard ends else { throw BackendMessages.BackendMessageError() }
            try end(block, context)
        }
    }

    private func receive(
        _ bytes: ByteBuffer, _ ends: Bool, _ context: ChannelHandlerContext
    ) throws(BackendMessages.BackendMessageError) {
        guard let framing else { throw BackendMessages.BackendMessageError() }
        if bytes.readableBytes > 0 {
            guard framing != .none else { throw BackendMessages.BackendMessageError() }
            if framing == .chunks {
                pass(ByteBuffer(string: String(bytes.readableBytes, radix: 16) + "\r\n"), context)
                pass(bytes, context)
                pass(ByteBuffer(string: "\r\n"), context)
            } else {
                pass(bytes, context)
            }
        }
        if ends { try end(nil, context) }
    }

    private func end(
        _ trailers: HPACKHeaders?, _ context: ChannelHandlerContext
    ) throws(BackendMessages.BackendMessageError) {
        responseEnded = true
        if framing == .chunks { pass(try BackendMessages.end(trailers), context) }
    }

    private func pass(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        context.fireChannelRead(wrapInboundOut(bytes))
    }
}
