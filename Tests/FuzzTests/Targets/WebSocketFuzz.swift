import NIOCore
import NIOWebSocket

@testable import HTTPServer

/// Frames of a client: what comes out is what RFC 6455 lets through, and never more than the limit.
enum WebSocketFuzz {
    private static let maxMessage = 64

    /// Each frame is its first byte, a length, and its payload; the length's first bit says that it is not masked.
    static func frames(_ bytes: UnsafeRawBufferPointer) {
        var input = ByteBuffer(bytes: bytes), assembler = WebSocketAssembler(maxMessage: maxMessage)
        var payload: [UInt8] = [], isOpen = false
        while let first = input.readInteger(as: UInt8.self), let length = input.readInteger(as: UInt8.self) {
            let data = input.readSlice(length: min(Int(length & 0x7f), input.readableBytes)) ?? ByteBuffer()
            let frame = WebSocketFrame(first, data, isMasked: length & 0x80 == 0)
            let isControl = first & 0x08 != 0
            let event: WebSocketAssembler.Event?
            do throws(WebSocketClose) { event = try assembler.take(frame) } catch {
                promise(WebSocketClose.isValid(error.code), "a code that no frame may have")
                return
            }
            guard let event else {
                promise(!isControl && !frame.fin && isOpen == (frame.opcode == .continuation), "a message goes on")
                isOpen = true
                payload += data.readableBytesView
                promise(payload.count <= maxMessage, "too much is kept")
                continue
            }
            promise(first & 0x70 == 0 && frame.maskKey != nil, "a frame that no client may send")
            switch event {
            case .message(let message):
                promise(
                    frame.fin && !isControl && isOpen == (frame.opcode == .continuation), "it ends where it does not")
                payload += data.readableBytesView
                promise(payload.count <= maxMessage, "a message is too large")
                switch message {
                case .text(let text): promise(Array(text.utf8) == payload, "another text")
                case .binary(let bytes): promise(Array(bytes.readableBytesView) == payload, "other bytes")
                }
                (payload, isOpen) = ([], false)
            case .ping(let echoed): promise(isControl && echoed == data, "another ping")
            case .pong: promise(isControl, "a pong of a message")
            case .close(let close):
                promise(close == .noCode || WebSocketClose.isValid(close.code), "a code that no frame may have")
                promise(WebSocketFrame(close).data == data || data.readableBytes > 125, "another close frame")
                return
            }
        }
    }
}

extension WebSocketFrame {
    fileprivate init(_ first: UInt8, _ data: ByteBuffer, isMasked: Bool) {
        let key: WebSocketMaskingKey = [1, 2, 3, 4]
        var masked = data
        if isMasked { masked.webSocketMask(key) }
        self.init(
            fin: first & 0x80 != 0, rsv1: first & 0x40 != 0, rsv2: first & 0x20 != 0, rsv3: first & 0x10 != 0,
            opcode: WebSocketOpcode(encodedWebSocketOpcode: first & 0x0f)!, maskKey: isMasked ? key : nil, data: masked)
    }
}
