import NIOCore

/// In front of `NIOHTTP2Handler`: sees the frames of both directions as bytes.
///
/// The peer is a client, or a sandbox that is asked in HTTP/2.
///
/// - It notes whether that has told the peer of an error of the connection. It says GOAWAY for every such error (RFC 9113,
///   section 5.4.1) and for no other, and leaves closing to others; by what it reports as an error, those of the connection
///   cannot be told from those of one stream. What the peer sends from then on is dropped here.
/// - It counts frames that cost a peer nothing and that nobody behind counts, and reports a `FrameFlood` as an error.
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
            context.fireErrorCaught(FrameFlood())
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

/// The peer has sent more frames than it may of those that cost it nothing.
struct FrameFlood: Error {}

/// Types of frames (RFC 9113, section 6).
enum FrameType {
    static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, settings: UInt8 = 4, ping: UInt8 = 6
    static let goaway: UInt8 = 7, windowUpdate: UInt8 = 8, continuation: UInt8 = 9
}

/// Frames as they are written: each in a buffer of its own, but for DATA, whose payload comes in a second one.
struct WrittenFrames {
    enum Kind { case data, headers, goawayForError, other }

    private var payloadFollows = false

    /// - Returns: what begins with the buffer; GOAWAY counts where its code is another than NO_ERROR.
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

/// Finds the frames in what a peer sends, behind a client's preface, however it is cut into buffers. Their lengths are believed:
/// one that is too large ends the connection behind.
struct ReceivedFrames {
    private static let headerLength = 9
    private static let prefaceLength = 24

    /// Bytes of the preface or of a payload that are still to come.
    private var skipped: Int
    /// Of a frame's header, so far.
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
