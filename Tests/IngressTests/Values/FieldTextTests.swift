import HTTPWire
import NIOCore
import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct FieldTextTests {
    private func text(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { FieldText.text($0) } }

    private func written(_ value: String) -> [UInt8] {
        var buffer = ByteBuffer()
        buffer.writeField("x", value)
        return Array(buffer.readableBytesView)
    }

    @Test(arguments: [
        [], Array("plain".utf8), Array("grün".utf8), [0xE9], [0xFF, 0x80, 0xBF, 0xC0], [0xC3, 0xA4, 0xE9],
        // What the marks themselves look like, whole, cut and with others.
        [0xF4, 0x8F, 0xBE, 0x80], [0xF4, 0x8F, 0xBF, 0xBF], [0xF4, 0x8F, 0xBE], [0xE9, 0xF4, 0x8F, 0xBF, 0xA9],
        Array("\u{1F600}\u{100000}".utf8),
    ])
    func `a value comes out as it went in`(_ bytes: [UInt8]) {
        #expect(written(text(bytes)) == Array("x: ".utf8) + bytes + Array("\r\n".utf8))
    }

    @Test func `any bytes do`() {
        var generator = SystemRandomNumberGenerator()
        let likely: [UInt8] = [0xF4, 0x8F, 0xBE, 0xBF, 0x80, 0xE9, 0x41]
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                Bool.random(using: &generator)
                    ? likely.randomElement(using: &generator)! : UInt8.random(in: 0x20...0xFF, using: &generator)
            }
            #expect(FieldText.bytes(text(bytes)) == bytes)
            #expect(written(text(bytes)).dropFirst(3).dropLast(2).elementsEqual(bytes))
        }
    }

    @Test func `UTF-8 is read as what it is, and the rest is shown as replaced`() {
        #expect(text(Array("grün \u{1F600}".utf8)) == "grün \u{1F600}")
        #expect(written(FieldText.text("\u{10FFE9}")) == Array("x: \u{10FFE9}\r\n".utf8))
        #expect(FieldText.shown(text([0x61, 0xE9])) == "a\u{FFFD}" && FieldText.shown("ü") == "ü")
    }

    @Test func `a request's fields and a response's keep their bytes`() throws {
        let value: [UInt8] = [0x61, 0xE9, 0xFF]
        var bytes = ByteBuffer(string: "GET / HTTP/1.1\r\nHost: h\r\nX-Raw: ")
        bytes.writeBytes(value)
        bytes.writeString("\r\n\r\n")
        var decoder = RequestDecoder(RequestHeadCheck())
        guard case .head(let head)? = try decoder.next(&bytes) else {
            Issue.record("no head")
            return
        }
        let sent = HeaderRules.serverProxy.request(
            head, target: "/", backend: Backend(address: .unix(path: "/s"), incarnation: "1"), peer: nil,
            scheme: "http",
            upgrade: nil)
        #expect(Array(sent.bytes.readableBytesView).contains(value + [0x0D]))
        var response = OutgoingResponse(version: .http1_1, code: 200)
        response.add("x-raw", text(value))
        let fields = response.headers
        response.headers = fields
        #expect(Array(response.takeBytes().readableBytesView).contains(value + [0x0D]))
    }
}

extension Array where Element == UInt8 {
    fileprivate func contains(_ part: [UInt8]) -> Bool {
        indices.contains { self[$0...].starts(with: part) }
    }
}
