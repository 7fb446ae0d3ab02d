import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct RequestLineScanTests {
    /// Why a text is refused that comes in pieces of one size.
    private func read(_ text: String, size: Int, limit: Int = 100) -> ProxyError? {
        var scan = RequestLineScan()
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = bytes[start..<min(start + size, bytes.count)]
            if let refusal = piece.withUnsafeBytes({ scan.read($0, limit: limit) }) { return refusal }
        }
        return nil
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n", "GET / HTTP/1.0\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n",
        "GET http://h/a?b HTTP/1.1\r\n", "M-SEARCH /x HTTP/1.1\r\nX:  y \t\n", "GET / HTTP/1.1", "GET ", "",
    ])
    func `a line of three parts passes, however it comes`(text: String) {
        for size in 1...max(1, text.utf8.count) { #expect(read(text, size: size) == nil) }
    }

    @Test(arguments: [
        "GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", " GET / HTTP/1.1\r\n", "GET /\r\n",
        "GET\t/ HTTP/1.1\r\n", "GET /\tHTTP/1.1\r\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\rX", "\nGET / HTTP/1.1\r\n",
        "\rGET / HTTP/1.1\r\n", "G(T / HTTP/1.1\r\n", "GET /a\u{0}b HTTP/1.1\r\n", "GET / RTSP/1.0\r\n",
        "SOURCE / ICE/1.0\r\n", "GET / http/1.1\r\n", "GET / HTTP/1.10\r\n", "GET / HTTP/11\r\n", "GET / HTTP/a.1\r\n",
    ])
    func `any other line is malformed, however it comes`(text: String) {
        for size in 1...text.utf8.count { #expect(read(text, size: size)?.status == .badRequest) }
    }

    @Test(arguments: ["0.9", "1.2", "2.0", "9.9"])
    func `other versions are told which one is spoken`(version: String) {
        for size in 1...30 { #expect(read("GET / HTTP/\(version)\r\n", size: size) == .version) }
    }

    @Test func `a line beyond the limit is too long, and one at it is not`() {
        let line = "GET /\(String(repeating: "a", count: 84)) HTTP/1.1\r\n"
        #expect(line.utf8.count == 100)
        for size in 1...100 {
            #expect(read(line, size: size) == nil)
            #expect(read(line, size: size, limit: 99) == .targetTooLong)
        }
    }
}
