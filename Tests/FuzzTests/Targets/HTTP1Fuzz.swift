import NIOCore
import NIOHTTP1

@testable import HTTPWire

/// Messages of HTTP/1.1, from clients and from sandboxes: however they are cut they are the same, and what is accepted is
/// written anew with the same meaning.
enum HTTP1Fuzz {
    /// Chunks end at the same byte, and mean the same body.
    static func chunks(_ bytes: UnsafeRawBufferPointer) {
        func read(_ step: Int) -> (end: Int?, body: [UInt8])? {
            var decoder = ChunkDecoder(), place = 0, body: [UInt8] = []
            while place < bytes.count {
                let piece = UnsafeRawBufferPointer(rebasing: bytes[place..<min(place + step, bytes.count)])
                guard let found = try? decoder.next(piece) else { return nil }
                switch found {
                case .more(let skip):
                    promise(skip == piece.count, "it stops within a piece")
                    place += skip
                case .data(let skip, let count):
                    promise(count > 0 && skip + count <= piece.count, "it finds what is not there")
                    body += piece[skip..<(skip + count)]
                    place += skip + count
                case .trailers(let skip): return (place + skip, body)
                }
            }
            return (nil, body)
        }
        let whole = read(max(1, bytes.count))
        for step in [1, 2, 3, 7] {
            let cut = read(step)
            promise(cut?.end == whole?.end && cut?.body == whole?.body, "cut by \(step) it is another body")
        }
    }

    static func request(_ bytes: UnsafeRawBufferPointer) {
        let limits = limits
        let whole = Requests(bytes, step: max(1, bytes.count), limits)
        for step in [1, 2, 3, 7, 64] {
            promise(Requests(bytes, step: step, limits) == whole, "cut by \(step) it is another")
        }
        for message in whole.messages where message.isComplete {
            let again = message.encoded.withUnsafeReadableBytes { Requests($0, step: 5, RequestHeadCheck()) }
            promise(again.refusal == nil && again.messages == [message], "written anew it is \(again), not \(message)")
            check(message)
        }
    }

    /// The first byte says whether the request was HEAD.
    static func response(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[1...])
        let whole = Responses(rest, step: max(1, rest.count), toHEAD: first & 1 == 1)
        for step in [1, 2, 3, 7, 64] {
            promise(Responses(rest, step: step, toHEAD: first & 1 == 1) == whole, "cut by \(step) it is another")
        }
        promise(whole.messages.filter(\.isComplete).count <= 1, "two answers to one request")
        for message in whole.messages {
            promise(
                message.fields.allSatisfy { ($0 + $1).utf8.allSatisfy(ASCII.isFieldByte) }, "control bytes in a field")
        }
        guard let last = whole.messages.last, last.isComplete else { return }
        let again = last.encoded.withUnsafeReadableBytes {
            Responses($0, step: 5, toHEAD: first & 1 == 1, maxBytes: 4096)
        }
        promise(again.refusal == nil && again.messages == [last], "written anew it is \(again), not \(last)")
    }

    /// Small, so that a fuzzer reaches them.
    private static var limits: RequestHeadCheck {
        var limits = RequestHeadCheck()
        limits.maxBytes = 300
        limits.maxFields = 8
        return limits
    }

    /// What no parser behind could read in another way.
    private static func check(_ message: Message) {
        promise(message.start.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F || $0 == 0x20 }, "control bytes in the line")
        for (name, value) in message.fields + message.trailers {
            promise(!name.isEmpty && name.utf8.allSatisfy(ASCII.isToken), "\(name) is no name")
            promise(value.utf8.allSatisfy(ASCII.isFieldByte), "control bytes in a value")
            promise(value.utf8.first != 0x20 && value.utf8.last != 0x09, "space around a value")
        }
        let lengths = message.values("content-length"), codings = message.values("transfer-encoding")
        promise(lengths.count + codings.count <= 1, "it ends in two places")
        promise(codings.allSatisfy { $0.lowercased() == "chunked" }, "another coding")
        promise(lengths.isEmpty || Int(lengths[0]) == message.body.count, "the body is not as long as it says")
        promise(!lengths.isEmpty || !codings.isEmpty || message.body.isEmpty, "a body that no field announces")
    }
}

/// One message as it was read.
private struct Message: Equatable {
    var start: String
    var fields: [(String, String)]
    var body: [UInt8] = []
    var trailers: [(String, String)] = []
    var isComplete = false
    /// Writes it anew.
    var write: (inout MessageEncoder) -> Void

    static func == (one: Message, other: Message) -> Bool {
        one.start == other.start && one.body == other.body && one.isComplete == other.isComplete
            && one.fields.elementsEqual(other.fields, by: ==) && one.trailers.elementsEqual(other.trailers, by: ==)
    }

    func values(_ name: String) -> [String] { fields.filter { $0.0.lowercased() == name }.map(\.1) }

    var encoded: ByteBuffer {
        var encoder = MessageEncoder(), result = ByteBuffer()
        write(&encoder)
        for var ready in encoder.write(ByteBuffer(bytes: body)) { result.writeBuffer(&ready) }
        encoder.writeEnd(HTTPHeaders(trailers))
        if var rest = encoder.take() { result.writeBuffer(&rest) }
        return result
    }
}

/// Everything that a decoder makes of bytes.
private struct Requests: Equatable {
    var messages: [Message] = []
    var refusal: HTTPMessageError?

    init(_ bytes: UnsafeRawBufferPointer, step: Int, _ limits: RequestHeadCheck) {
        var decoder = RequestDecoder(limits), buffer = ByteBuffer()
        do throws(HTTPMessageError) {
            for start in stride(from: 0, to: bytes.count, by: step) {
                var more = ByteBuffer(bytes: bytes[start..<min(start + step, bytes.count)])
                buffer.append(&more)
                while let part = try decoder.next(&buffer) { take(part) }
                buffer.shrinkIfWasteful()
            }
        } catch { refusal = error }
    }

    private mutating func take(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            messages.append(
                Message(
                    start: "\(head.method.rawValue) \(head.uri)", fields: head.headers.map { ($0.name, $0.value) },
                    write: { encoder in
                        let method = head.method == .MSEARCH ? "M-SEARCH" : head.method.rawValue
                        var bytes = ByteBuffer(string: "\(method) \(head.uri) HTTP/1.1\r\n")
                        for (name, value) in head.headers { bytes.writeField(name, value) }
                        bytes.writeString("\r\n")
                        encoder.write(
                            OutgoingRequest(
                                bytes: bytes, isHEAD: false, isChunked: head.headers.contains(name: "transfer-encoding")
                            ))
                    }))
        case .body(let bytes): messages[messages.count - 1].body += bytes.readableBytesView
        case .end(let trailers):
            messages[messages.count - 1].trailers = trailers?.map { ($0.name, $0.value) } ?? []
            messages[messages.count - 1].isComplete = true
        }
    }
}

/// Informational answers and the last one.
private struct Responses: Equatable {
    var messages: [Message] = []
    var refusal: HTTPMessageError?

    init(_ bytes: UnsafeRawBufferPointer, step: Int, toHEAD: Bool, maxBytes: Int = 300) {
        var decoder = ResponseDecoder(maxBytes: maxBytes, maxFields: 8), buffer = ByteBuffer()
        decoder.expect(toHEAD: toHEAD)
        do throws(HTTPMessageError) {
            for start in stride(from: 0, to: bytes.count, by: step) {
                var more = ByteBuffer(bytes: bytes[start..<min(start + step, bytes.count)])
                buffer.append(&more)
                while let part = try decoder.next(&buffer) { take(part) }
                buffer.shrinkIfWasteful()
            }
            if let part = decoder.finish() { take(part) }
        } catch { refusal = error }
    }

    private mutating func take(_ part: ResponsePart) {
        switch part {
        case .head(let head):
            messages.append(
                Message(
                    start: "\(head.code)", fields: head.headers.map { ($0.name, $0.value) },
                    write: {
                        $0.write(
                            OutgoingResponse(
                                HTTPResponseHead(
                                    version: head.version, status: HTTPResponseStatus(statusCode: head.code),
                                    headers: head.headers)))
                    }))
        case .body(.bytes(let bytes)): messages[messages.count - 1].body += bytes.readableBytesView
        case .body(.end(let trailers)):
            messages[messages.count - 1].trailers = trailers?.map { ($0.name, $0.value) } ?? []
            messages[messages.count - 1].isComplete = true
        }
    }
}
