import NIOCore

/// Watches the frames of both directions, as bytes. Placed before `NIOHTTP2Handler`.
///
/// The peer is a client, or a sandbox that is reached over HTTP/2.
///
/// - It detects connection errors. `NIOHTTP2Handler` sends GOAWAY for every connection error (RFC 9113, section 5.4.1)
///   and for nothing else, does not close the connection, and reports connection and stream errors in the same way; so
///   the GOAWAY it writes is the only reliable sign. Whatever the peer sends after that is dropped here.
/// - It counts frames that cost a peer nothing and that are not counted elsewhere, and reports a `FrameFloodError` as an
///   error.
final class FrameWatch: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private(set) var hasSaidError = false
    private var isFlooded = false
    private var written = WrittenFrames()
    private var received: ReceivedFrames
    private var budget: FrameBudget

    init(limits: HTTP2Limits, peer: FrameBudget.Peer = .client) {
        budget = FrameBudget(limits, of: peer)
        received = ReceivedFrames(hasPreface: peer == .client)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasSaidError, !isFlooded else { return }
        unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            received.read(bytes) { type in isFlooded = isFlooded || !budget.receives(type) { .now() } }
        }
        if isFlooded {
            context.fireErrorCaught(FrameFloodError())
        } else {
            context.fireChannelRead(data)
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .byteBuffer(let bytes) = unwrapOutboundIn(data) {
            switch bytes.withUnsafeReadableBytes({ written.read($0) }) {
            case .data: budget.sentData()
            case .headers: budget.sentHead()
            case .goawayForError: hasSaidError = true
            case .other: break
            }
        }
        context.write(data, promise: promise)
    }
}

/// The peer has sent too many frames that cost it nothing.
struct FrameFloodError: Error {}

/// Frame types (RFC 9113, section 6).
enum FrameType {
    static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, settings: UInt8 = 4, ping: UInt8 = 6
    static let goaway: UInt8 = 7, windowUpdate: UInt8 = 8, continuation: UInt8 = 9
}

/// Recognises frames as `NIOHTTP2Handler` writes them: each in its own buffer, except that a DATA frame's payload comes
/// in a second one.
struct WrittenFrames {
    enum Kind { case data, headers, goawayForError, other }

    private var payloadFollows = false

    /// - Returns: the kind of frame that begins in this buffer; GOAWAY only with a code other than NO_ERROR.
    mutating func read(_ bytes: UnsafeRawBufferPointer) -> Kind {
        if payloadFollows {
            payloadFollows = false
            return .other
        }
        guard bytes.count >= 9 else { return .other }
        let isData = bytes[3] == FrameType.data
        payloadFollows = bytes.count == 9 && isData && (bytes[0] | bytes[1] | bytes[2]) != 0
        if isData { return .data }
        if bytes[3] == FrameType.headers { return .headers }
        guard bytes.count == 17, bytes[3] == FrameType.goaway else { return .other }
        return bytes[13...16].contains { $0 != 0 } ? .goawayForError : .other
    }
}

/// Finds the frames in what a peer sends, after a client's preface, however it is split into buffers. Lengths are
/// trusted here, because `NIOHTTP2Handler` ends the connection if one is too large.
struct ReceivedFrames {
    private static let headerLength = 9
    private static let prefaceLength = 24

    /// Remaining bytes of the preface or of a payload.
    private var skipped: Int
    /// How many bytes of a frame's header have arrived.
    private var headerCount = 0
    private var length = 0
    private var type: UInt8 = 0

    init(hasPreface: Bool = true) { skipped = hasPreface ? Self.prefaceLength : 0 }

    /// - Parameter begins: called with the type of each frame whose header is complete.
    mutating func read(_ bytes: UnsafeRawBufferPointer, _ begins: (UInt8) -> Void) {
        var index = 0
        while index < bytes.count {
            if skipped > 0 {
                let count = min(skipped, bytes.count - index)
                skipped -= count
                index += count
                continue
            }
            switch headerCount {
            case 0..<3: length = length << 8 | Int(bytes[index])
            case 3: type = bytes[index]
            default: break
            }
            index += 1
            headerCount += 1
            guard headerCount == Self.headerLength else { continue }
            begins(type)
            skipped = length
            (headerCount, length) = (0, 0)
        }
    }
}
