import NIOCore
import NIOPosix

/// A WebSocket client that sends whatever frames a test says, right or wrong.
public struct WebSocketClient {
    public struct Frame: Hashable, Sendable {
        public var opcode: UInt8
        public var payload: [UInt8]

        public init(_ opcode: UInt8, _ payload: [UInt8] = []) { (self.opcode, self.payload) = (opcode, payload) }
        public static func text(_ text: String) -> Frame { Frame(1, Array(text.utf8)) }
        public static func close(_ code: UInt16, _ reason: String = "") -> Frame {
            Frame(8, [UInt8(code >> 8), UInt8(code & 0xff)] + Array(reason.utf8))
        }
        /// Of a close frame; nil of any other.
        public var closeCode: UInt16? {
            opcode == 8 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        }
    }

    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private var received = ByteBuffer()

    public static let key = "dGhlIHNhbXBsZSBub25jZQ=="

    /// The request that a client sends; `headers` are lines.
    public static func handshake(_ target: String, _ headers: [String] = []) -> String {
        let lines =
            [
                "GET \(target) HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
            ]
            + ["Sec-WebSocket-Key: \(key)"] + headers
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    /// Shakes hands, calls `body` with the head of the answer, and ends the connection.
    /// - Parameter early: frames sent together with the request.
    public static func with<Result>(
        _ address: SocketAddress, _ request: String, early: [UInt8] = [],
        _ body: (inout WebSocketClient, String) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(to: address) {
            channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, outbound in
            var bytes = ByteBuffer(string: request)
            bytes.writeBytes(early)
            try await outbound.write(bytes)
            var client = WebSocketClient(outbound: outbound, inbound: inbound.makeAsyncIterator())
            let head = try await client.head()
            return try await body(&client, head)
        }
    }

    private init(
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    ) {
        (self.outbound, self.inbound) = (outbound, inbound)
    }

    /// The next head, with what stands in front of it.
    public mutating func head() async throws -> String {
        while true {
            let text = String(decoding: received.readableBytesView, as: UTF8.self)
            if let end = text.firstRange(of: "\r\n\r\n") {
                let head = String(text[..<end.upperBound])
                received.moveReaderIndex(forwardBy: head.utf8.count)
                return head
            }
            guard try await more() else { return text }
        }
    }

    private mutating func more() async throws -> Bool {
        guard var part = try await inbound.next() else { return false }
        received.writeBuffer(&part)
        return true
    }

    /// The bytes of one frame. `firstByte` takes the opcode's place, with its flags.
    public static func bytes(_ frame: Frame, isLast: Bool = true, flags: UInt8 = 0, isMasked: Bool = true) -> [UInt8] {
        var bytes: [UInt8] = [(isLast ? 0x80 : 0) | flags | frame.opcode]
        let (count, mask): (Int, UInt8) = (frame.payload.count, isMasked ? 0x80 : 0)
        switch count {
        case ..<126: bytes.append(mask | UInt8(count))
        case ..<65536: bytes += [mask | 126, UInt8(count >> 8), UInt8(count & 0xff)]
        default: bytes += [mask | 127] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) }
        }
        guard isMasked else { return bytes + frame.payload }
        let key: [UInt8] = [1, 2, 3, 4]
        return bytes + key + frame.payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    public func send(_ frame: Frame, isLast: Bool = true, flags: UInt8 = 0, isMasked: Bool = true) async throws {
        try await send(Self.bytes(frame, isLast: isLast, flags: flags, isMasked: isMasked))
    }

    public func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

    /// The next frame; nil once the server has ended the connection.
    public mutating func next() async throws -> Frame? {
        while true {
            if let frame = parsed() { return frame }
            guard try await more() else { return nil }
        }
    }

    private mutating func parsed() -> Frame? {
        var bytes = received
        guard let first = bytes.readInteger(as: UInt8.self), let second = bytes.readInteger(as: UInt8.self) else {
            return nil
        }
        let count: Int? =
            switch second {
            case 126: bytes.readInteger(as: UInt16.self).map { Int($0) }
            case 127: bytes.readInteger(as: UInt64.self).map { Int($0) }
            default: Int(second)
            }
        guard let count, let payload = bytes.readBytes(length: count) else { return nil }
        received = bytes
        return Frame(first & 0x0f, payload)
    }
}
