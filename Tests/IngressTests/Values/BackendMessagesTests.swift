import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct BackendMessagesTests {
    private func response(_ block: HPACKHeaders, mayHaveBody: Bool = true) -> String? {
        (try? BackendMessages.response(block, mayHaveBody: mayHaveBody)).map { String(buffer: $0.bytes) }
    }

    @Test func `a request becomes fields, and says that trailers are understood`() {
        let head = HTTPRequestHead(
            version: .http1_1, method: .POST, uri: "/p.S/M",
            headers: [
                "host": "h:1", "Content-Type": "application/grpc", "transfer-encoding": "chunked",
                "connection": "close",
                "X-Own": "a",
            ])
        let block = BackendMessages.request(head).map { "\($0.name): \($0.value)" }
        #expect(
            block == [
                ":method: POST", ":scheme: http", ":authority: h:1", ":path: /p.S/M", "te: trailers",
                "content-type: application/grpc", "x-own: a",
            ])
    }

    @Test func `a response is read as the message that it is`() {
        #expect(
            response([":status": "200", "content-type": "application/grpc", "content-length": "5"])
                == "HTTP/1.1 200 \r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n")
        #expect(
            response([":status": "200", "content-length": "5"]) == "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n")
        #expect(
            response([":status": "200", "content-length": "5"], mayHaveBody: false)
                == "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n")
        #expect(response([":status": "204", "connection": "x"]) == "HTTP/1.1 204 \r\n\r\n")
        #expect((try? BackendMessages.end(nil)).map { String(buffer: $0) } == "0\r\n\r\n")
        #expect(
            (try? BackendMessages.end(["grpc-status": "0"])).map { String(buffer: $0) } == "0\r\ngrpc-status: 0\r\n\r\n"
        )
    }

    @Test(arguments: [
        [], [(":status", "101")], [(":status", "20")], [(":status", "abc")], [(":status", "099")],
        [(":status", "200"), (":status", "200")], [(":status", "200"), ("X-A", "b")], [(":status", "200"), ("", "b")],
        [(":status", "200"), ("x", "a\r\ny: b")], [(":status", "200"), ("x\r\ny", "b")],
        [(":status", "200"), ("x", "a\u{0}")], [(":status", "200"), ("x:", "b")],
    ])
    func `what would be other lines of HTTP passes nowhere`(_ fields: [(String, String)]) {
        #expect(throws: BackendMessages.BackendMessageError.self) {
            try BackendMessages.response(HPACKHeaders(fields), mayHaveBody: true)
        }
        let rest = fields.filter { $0.0 != ":status" }
        guard !rest.isEmpty else { return }
        #expect(throws: BackendMessages.BackendMessageError.self) { try BackendMessages.end(HPACKHeaders(rest)) }
    }

    @Test(arguments: [
        ("application/grpc", true), ("Application/gRPC+proto", true), ("application/grpc; charset=x", true),
        ("application/grpc-web", false), ("application/grpcx", false), ("text/plain", false), ("", false),
    ])
    func `gRPC is known by its content type`(_ type: String, _ isGRPC: Bool) {
        #expect(GRPC.isAsked(for: ["content-type": type]) == isGRPC && !GRPC.isAsked(for: [:]))
    }

    @Test(arguments: [
        (400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (408, 2), (413, 2),
    ])
    func `an error is a status`(_ code: Int, _ status: Int) {
        let answer = GRPC.answer(ProxyError(.init(statusCode: code), "CODE", "50% \u{fc}"))
        #expect(answer.code == 200 && answer.headers["grpc-status"] == ["\(status)"])
        #expect(answer.headers["grpc-message"] == ["CODE: 50%25 %C3%BC"])
    }
}
