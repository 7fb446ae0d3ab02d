import NIOCore
import NIOHTTP1

@testable import HTTPWire

/// What a decoder makes of bytes that come in pieces, as a text that two runs can be compared by.
struct Decoded: Equatable, CustomStringConvertible {
    var text = ""
    /// Bytes of a body that have been told, and stand at the end of `text` when the body is done.
    private var body: [UInt8] = []
    var refusal: HTTPMessageError?
    var rest = ""
    var messages = 0

    var description: String {
        text + (refusal.map { "refused: \($0)" } ?? "") + (rest.isEmpty ? "" : "rest: \(rest)")
    }

    private mutating func add(_ start: String, _ headers: HTTPHeaders) {
        text += start + headers.map { " {\($0.name)=\($0.value)}" }.joined()
    }

    private mutating func end(_ trailers: HTTPHeaders?) {
        text += " [\(String(decoding: body, as: UTF8.self))]"
        add("", trailers ?? [:])
        text += "\n"
        body = []
        messages += 1
    }

    private mutating func pieces(
        _ bytes: [UInt8], _ size: Int, _ take: (inout Decoded, inout ByteBuffer) throws(HTTPMessageError) -> Void
    ) {
        var buffer = ByteBuffer()
        do throws(HTTPMessageError) {
            for start in stride(from: 0, to: bytes.count, by: size) {
                var more = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
                buffer.append(&more)
                try take(&self, &buffer)
                buffer.shrinkIfWasteful()
            }
        } catch { refusal = error }
        rest = String(buffer: buffer)
    }

    /// Requests of a client.
    static func requests(_ text: String, size: Int, limits: RequestHeadCheck = RequestHeadCheck()) -> Decoded {
        var result = Decoded(), decoder = RequestDecoder(limits)
        result.pieces(Array(text.utf8), size) { result, buffer throws(HTTPMessageError) in
            while let part = try decoder.next(&buffer) {
                switch part {
                case .head(let head): result.add("\(head.method.rawValue) \(head.uri) \(head.version)", head.headers)
                case .body(let bytes): result.body += bytes.readableBytesView
                case .end(let trailers): result.end(trailers)
                }
            }
        }
        if !decoder.isStopped { result.rest = "" }
        return result
    }

    /// The answers to one request after another, and the end of the connection.
    static func responses(_ text: String, size: Int, toHEAD: Bool = false, ends: Bool = true) -> Decoded {
        var result = Decoded(), decoder = ResponseDecoder(maxBytes: 1000, maxFields: 10)
        decoder.expect(toHEAD: toHEAD)
        func take(_ part: ResponsePart) {
            switch part {
            case .head(let head): result.add("\(head.version) \(head.code)", head.headers)
            case .body(.bytes(let bytes)): result.body += bytes.readableBytesView
            case .body(.end(let trailers)): result.end(trailers)
            }
        }
        var buffer = ByteBuffer()
        let bytes = Array(text.utf8)
        do throws(HTTPMessageError) {
            for start in stride(from: 0, to: bytes.count, by: size) {
                var more = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
                buffer.append(&more)
                while let part = try decoder.next(&buffer) { take(part) }
                buffer.shrinkIfWasteful()
            }
            if ends, let part = decoder.finish() { take(part) }
        } catch { result.refusal = error }
        if result.refusal == nil { result.rest = String(buffer: buffer) }
        return result
    }
}
