import NIOCore

/// In front of `NIOHTTP2Handler`: notes whether that has told the client of an error of the connection. It says GOAWAY for
/// every such error (RFC 9113, section 5.4.1) and for no other, and leaves closing to others; by what it reports as an error,
/// those of the connection cannot be told from those of one stream. What the client sends from then on is dropped here.
final class GoawayWatch: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private(set) var hasSaidError = false
    private var frames = WrittenFrames()

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !hasSaidError { context.fireChannelRead(data) }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .byteBuffer(let bytes) = unwrapOutboundIn(data) {
            bytes.withUnsafeReadableBytes { if frames.isGoawayForError($0) { hasSaidError = true } }
        }
        context.write(data, promise: promise)
    }
}

/// Frames as they are written: each in a buffer of its own, but for DATA, whose payload comes in a second one.
struct WrittenFrames {
    private static let data: UInt8 = 0, goaway: UInt8 = 7
    private var payloadFollows = false

    /// - Returns: whether the buffer is a GOAWAY frame with another code than NO_ERROR.
    mutating func isGoawayForError(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if payloadFollows {
            payloadFollows = false
            return false
        }
        guard bytes.count >= 9 else { return false }
        payloadFollows = bytes.count == 9 && bytes[3] == Self.data && (bytes[0] | bytes[1] | bytes[2]) != 0
        guard bytes.count == 17, bytes[3] == Self.goaway else { return false }
        return bytes[13...16].contains { $0 != 0 }
    }
}
