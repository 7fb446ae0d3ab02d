import NIOCore
import NIOWebSocket
import Testing

@testable import HTTPServer

@Suite struct WebSocketAssemblerTests {
    private func frame(
        _ opcode: WebSocketOpcode, _ bytes: [UInt8], isLast: Bool = true, rsv1: Bool = false, masked: Bool = true
    ) -> WebSocketFrame {
        let key: WebSocketMaskingKey = [9, 8, 7, 6]
        var data = ByteBuffer(bytes: bytes)
        if masked { data.webSocketMask(key) }
        return WebSocketFrame(fin: isLast, rsv1: rsv1, opcode: opcode, maskKey: masked ? key : nil, data: data)
    }

    private func code(_ frames: [WebSocketFrame]) -> UInt16? {
        var assembler = WebSocketAssembler(maxMessage: 8)
        do throws(WebSocketClose) {
            for frame in frames { _ = try assembler.take(frame) }
            return nil
        } catch { return error.code }
    }

    @Test func `frames of one message are put together, whatever control frames come between`() throws {
        var assembler = WebSocketAssembler(maxMessage: 8)
        #expect(try assembler.take(frame(.text, Array("hé".utf8.prefix(2)), isLast: false)) == nil)
        #expect(try assembler.take(frame(.ping, [7])) == .ping(ByteBuffer(bytes: [7])))
        #expect(try assembler.take(frame(.pong, [])) == .pong)
        #expect(try assembler.take(frame(.continuation, [], isLast: false)) == nil)
        #expect(try assembler.take(frame(.continuation, Array("é".utf8.suffix(1)))) == .message(.text("hé")))
        #expect(try assembler.take(frame(.binary, [])) == .message(.binary(ByteBuffer())))
        #expect(try assembler.take(frame(.connectionClose, [])) == .close(.noCode))
        #expect(
            try assembler.take(frame(.connectionClose, [0x0f, 0xa1] + Array("bye".utf8)))
                == .close(WebSocketClose(4001, "bye")))
    }

    @Test func `a client takes what is not masked, and nothing else`() throws {
        var assembler = WebSocketAssembler(maxMessage: 8, side: .client)
        #expect(try assembler.take(frame(.text, [65], masked: false)) == .message(.text("A")))
        #expect(throws: WebSocketClose.self) { try assembler.take(frame(.text, [65])) }
    }

    @Test func `each fault has its code`() {
        #expect(code([frame(.text, [], rsv1: true)]) == 1002)
        #expect(code([frame(.text, [], masked: false)]) == 1002)
        #expect(code([frame(.continuation, [])]) == 1002)
        #expect(code([frame(.text, [], isLast: false), frame(.binary, [])]) == 1002)
        #expect(code([frame(WebSocketOpcode(encodedWebSocketOpcode: 3)!, [])]) == 1002)
        #expect(code([frame(WebSocketOpcode(encodedWebSocketOpcode: 0xb)!, [])]) == 1002)
        #expect(code([frame(.text, [0xc3])]) == 1007)
        #expect(code([frame(.text, [0xc3], isLast: false), frame(.continuation, [0x28])]) == 1007)
        #expect(code([frame(.binary, [UInt8](repeating: 0, count: 9))]) == 1009)
        #expect(code([frame(.binary, [1, 2, 3, 4, 5], isLast: false), frame(.continuation, [1, 2, 3, 4])]) == 1009)
        #expect(code([frame(.binary, [UInt8](repeating: 0, count: 8))]) == nil)
        for bad: [UInt8] in [[3], [0, 0], [0x03, 0xed], [0x03, 0xee], [0x07, 0xd0], [0x13, 0x88]] {
            #expect(code([frame(.connectionClose, bad)]) == 1002, "\(bad)")
        }
        #expect(code([frame(.connectionClose, [0x03, 0xe8, 0xff])]) == 1007)
    }

    @Test func `a reason that is too long is cut between two characters`() {
        let frame = WebSocketFrame(WebSocketClose(1000, String(repeating: "é", count: 100)))
        #expect(frame.data.readableBytes == 2 + 122)
    }
}
