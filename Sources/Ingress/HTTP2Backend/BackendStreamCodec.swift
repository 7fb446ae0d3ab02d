import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// One stream of HTTP/2 towards a sandbox, behind which `BackendConnection` has a connection of HTTP/1.1 of its own. Its bytes
/// are read and written once more here; in return there is one way of an exchange, whatever the sandbox speaks.
final class BackendStreamCodec: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = HTTP2Frame.FramePayload

    private var request: RequestDecoder
    private var bytes = ByteBuffer()
    private var isHEAD = false
    /// nil until the final head has come.
    private var framing: BackendMessages.Framing?
    private var responseEnded = false

    init(limits: RequestHeadCheck) {
        // What was within the limits may have grown by what is added for the sandbox.
        var limits = limits
        limits.maxBytes *= 2
        limits.maxFields *= 2
        request = RequestDecoder(limits)
    }

    // MARK: to the sandbox

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var more = unwrapOutboundIn(data)
        bytes.append(&more)
        do throws(ProxyError) {
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
        do throws(BackendMessages.Malformed) {
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
    ) throws(BackendMessages.Malformed) {
        if framing == nil {
            let head = try BackendMessages.response(block, mayHaveBody: !isHEAD)
            guard head.code >= 200 || !ends else { throw BackendMessages.Malformed() }
            if head.code >= 200 { framing = head.framing }
            pass(head.bytes, context)
            if ends { try end(nil, context) }
        } else {
            guard ends else { throw BackendMessages.Malformed() }
            try end(block, context)
        }
    }

    private func receive(
        _ bytes: ByteBuffer, _ ends: Bool, _ context: ChannelHandlerContext
    ) throws(BackendMessages.Malformed) {
        guard let framing else { throw BackendMessages.Malformed() }
        if bytes.readableBytes > 0 {
            guard framing != .none else { throw BackendMessages.Malformed() }
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
    ) throws(BackendMessages.Malformed) {
        responseEnded = true
        if framing == .chunks { pass(try BackendMessages.end(trailers), context) }
    }

    private func pass(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        context.fireChannelRead(wrapInboundOut(bytes))
    }
}
