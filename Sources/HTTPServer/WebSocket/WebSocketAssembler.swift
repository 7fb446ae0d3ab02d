import NIOCore
import NIOWebSocket

/// One message of a WebSocket, whole.
package enum WebSocketMessage: Hashable, Sendable {
    case text(String)
    case binary(ByteBuffer)
}

/// Makes messages of the other side's frames, and holds it to RFC 6455. A value without I/O.
struct WebSocketAssembler {
    enum Event: Hashable {
        case message(WebSocketMessage)
        case ping(ByteBuffer)
        case pong
        case close(WebSocketClose)
    }

    private let maxMessage: Int
    private let side: WebSocketSide
    /// The first opcode of a message whose last frame has not come.
    private var kind: WebSocketOpcode?
    private var gathered = ByteBuffer()

    /// - Parameters:
    ///   - maxMessage: bytes of a message, however many frames it comes in.
    ///   - side: which one reads.
    init(maxMessage: Int, side: WebSocketSide = .server) { (self.maxMessage, self.side) = (maxMessage, side) }

    /// - Returns: nil where the message goes on.
    /// - Throws: the close frame that the other side has earned; no frame is looked at after it.
    mutating func take(_ frame: WebSocketFrame) throws(WebSocketClose) -> Event? {
        guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else { throw .protocolError("a reserved bit is set") }
        guard (frame.maskKey != nil) == (side == .server) else {
            throw .protocolError(side == .server ? "a frame is not masked" : "a frame is masked")
        }
        switch frame.opcode {
        case .ping: return .ping(frame.unmaskedData)
        case .pong: return .pong
        case .connectionClose: return .close(try Self.close(frame.unmaskedData))
        case .text, .binary:
            guard kind == nil else { throw .protocolError("a message begins before the last one has ended") }
            kind = frame.opcode
        case .continuation:
            guard kind != nil else { throw .protocolError("nothing is to be continued") }
        default: throw .protocolError("an unknown opcode")
        }
        guard gathered.readableBytes + frame.length <= maxMessage else { throw .tooLarge(limit: maxMessage) }
        var data = frame.unmaskedData
        if gathered.readableBytes == 0 { gathered = data } else { gathered.writeBuffer(&data) }
        return frame.fin ? .message(try finish()) : nil
    }

    private mutating func finish() throws(WebSocketClose) -> WebSocketMessage {
        let (isText, bytes) = (kind == .text, gathered)
        kind = nil
        gathered = ByteBuffer()
        guard isText else { return .binary(bytes) }
        guard let text = String(validating: bytes.readableBytesView, as: UTF8.self) else { throw .notUTF8 }
        return .text(text)
    }

    private static func close(_ data: ByteBuffer) throws(WebSocketClose) -> WebSocketClose {
        var data = data
        guard data.readableBytes > 0 else { return .noCode }
        guard let code = data.readInteger(as: UInt16.self), WebSocketClose.isValid(code) else {
            throw .protocolError("a close frame without a valid code")
        }
        guard let reason = String(validating: data.readableBytesView, as: UTF8.self) else { throw .notUTF8 }
        return WebSocketClose(code, reason)
    }
}

extension WebSocketFrame {
    init(_ message: WebSocketMessage) {
        switch message {
        case .text(let text): self.init(fin: true, opcode: .text, data: ByteBuffer(string: text))
        case .binary(let bytes): self.init(fin: true, opcode: .binary, data: bytes)
        }
    }

    init(_ close: WebSocketClose) {
        var data = ByteBuffer()
        if close != .noCode {
            data.writeInteger(close.code)
            // Cut between two characters: a frame of control has 125 bytes at most.
            var reason = close.reason
            while reason.utf8.count > 123 { reason.removeLast() }
            data.writeString(reason)
        }
        self.init(fin: true, opcode: .connectionClose, data: data)
    }
}
