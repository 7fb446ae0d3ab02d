import NIOCore
import NIOHTTP1

/// In front of the decoder, which passes over chunk extensions without a word: refuses them, and request lines that the
/// decoder takes for better than they are.
///
/// It parses no fields. It gives the decoder a head up to its empty line, and hears from behind the decoder what that took it
/// for; so the two cannot disagree on where a body begins and what kind it is.
final class ChunkGuard: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private enum Phase {
        case head(HeadScan)
        case counted(UInt64)
        case chunked(ChunkScan)
        /// Another protocol.
        case retired
        /// What comes after something that was refused.
        case dropping
    }

    private struct HeadScan {
        var line = RequestLineScan()
        var end = EmptyLineScan()
    }

    private var phase = Phase.head(HeadScan())
    private let lineLimit: Int
    private let tellsWhy: Bool
    private var announced: HTTPRequestHead?

    /// - Parameters:
    ///   - lineLimit: bytes of a request line.
    ///   - tellsWhy: whoever is behind knows what a `ProxyError` is; otherwise it hears of the parser's errors alone.
    init(lineLimit: Int, tellsWhy: Bool) {
        self.lineLimit = lineLimit
        self.tellsWhy = tellsWhy
    }

    /// Called from behind the decoder, while it has the bytes that it was given last.
    func begins(_ head: HTTPRequestHead) { announced = head }

    /// What comes from now on is not looked at.
    func drop() { phase = .dropping }

    /// What comes from now on is not HTTP.
    func retire() { phase = .retired }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        while bytes.readableBytes > 0 {
            let count: Int
            switch phase {
            case .retired: count = bytes.readableBytes
            case .dropping: return
            case .head(var scan):
                let (end, refusal) = bytes.withUnsafeReadableBytes { bytes in
                    let end = scan.end.end(in: bytes)
                    let own = UnsafeRawBufferPointer(rebasing: bytes[..<(end ?? bytes.count)])
                    return (end, scan.line.read(own, limit: lineLimit))
                }
                if let refusal {
                    phase = .dropping
                    return context.fireErrorCaught(tellsWhy ? refusal : HTTPParserError.unknown)
                }
                phase = .head(end == nil ? scan : HeadScan())
                pass(&bytes, end ?? bytes.readableBytes, context)
                if case .head = phase, let head = announced { phase = Self.body(of: head) }
                announced = nil
                continue
            case .counted(let left):
                count = Int(min(left, UInt64(bytes.readableBytes)))
                phase = left > count ? .counted(left - UInt64(count)) : .head(HeadScan())
            case .chunked(var scan):
                switch bytes.withUnsafeReadableBytes({ scan.read($0) }) {
                case .more:
                    count = bytes.readableBytes
                    phase = .chunked(scan)
                case .ended(let end):
                    count = end
                    phase = .head(HeadScan())
                case .refused:
                    phase = .dropping
                    return context.fireErrorCaught(HTTPParserError.invalidChunkSize)
                }
            }
            pass(&bytes, count, context)
        }
    }

    private func pass(_ bytes: inout ByteBuffer, _ count: Int, _ context: ChannelHandlerContext) {
        if count == bytes.readableBytes {
            let all = bytes
            bytes = ByteBuffer()
            context.fireChannelRead(wrapInboundOut(all))
        } else {
            context.fireChannelRead(wrapInboundOut(bytes.readSlice(length: count)!))
        }
    }

    private static func body(of head: HTTPRequestHead) -> Phase {
        if head.headers.contains(name: "transfer-encoding") { return .chunked(ChunkScan()) }
        let length = head.headers.first(name: "content-length").flatMap { UInt64($0) } ?? 0
        return length > 0 ? .counted(length) : .head(HeadScan())
    }
}
