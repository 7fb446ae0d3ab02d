import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP1

/// Converts HTTP/1.1 messages to HTTP/2 fields and back, for connections to sandboxes. A value without I/O.
enum BackendMessages {
    /// A malformed field or head (RFC 9113, section 8.1.1); the stream ends.
    struct BackendMessageError: Error, Hashable {}

    private static let ofTheConnection = FieldNames(FieldNames.hopByHop + ["host"])

    /// The head of a request. `te: trailers` is added, because gRPC servers require it.
    static func request(_ head: HTTPRequestHead) -> HPACKHeaders {
        var block = HPACKHeaders()
        block.reserveCapacity(head.headers.count + 5)
        block.add(name: ":method", value: head.method.rawValue)
        block.add(name: ":scheme", value: "http")
        block.add(name: ":authority", value: head.headers.first(name: "host") ?? "")
        block.add(name: ":path", value: head.uri)
        block.add(name: "te", value: "trailers")
        add(head.headers, to: &block)
        return block
    }

    static func trailers(_ trailers: HTTPHeaders) -> HPACKHeaders {
        var block = HPACKHeaders()
        add(trailers, to: &block)
        return block
    }

    private static func add(_ fields: HTTPHeaders, to block: inout HPACKHeaders) {
        for (name, value) in fields where !ofTheConnection.contains(name) {
            block.add(name: name.lowercased(), value: FieldText.shown(value))
        }
    }

    /// How a response's body ends.
    enum Framing: Hashable { case none, length, chunks }

    /// The head of a response, as HTTP/1.1 bytes.
    /// - Parameter mayHaveBody: whether the request allows a response body.
    static func response(
        _ block: HPACKHeaders, mayHaveBody: Bool
    ) throws(BackendMessageError) -> (bytes: ByteBuffer, code: Int, framing: Framing) {
        let status = block[":status"]
        guard status.count == 1, status[0].utf8.count == 3, let code = Int(status[0]), code >= 100, code != 101 else {
            throw BackendMessageError()
        }
        var bytes = ByteBufferAllocator().buffer(capacity: 512)
        bytes.writeString("HTTP/1.1 \(code) \r\n")
        var framing = mayHaveBody && ResponseStatus.mayHaveBody(code) ? Framing.chunks : .none
        // With a length there could be no trailers, which gRPC needs.
        if framing == .chunks, block.contains(name: "content-length"), !isGRPC(block) { framing = .length }
        for (name, value, _) in block where name.utf8.first != UInt8(ascii: ":") {
            if name == "content-length", framing == .chunks { continue }
            try write(name, value, to: &bytes)
        }
        if framing == .chunks { bytes.writeStaticString("transfer-encoding: chunked\r\n") }
        bytes.writeStaticString("\r\n")
        return (bytes, code, framing)
    }

    /// The end of a chunked body.
    static func end(_ trailers: HPACKHeaders?) throws(BackendMessageError) -> ByteBuffer {
        var bytes = ByteBuffer(string: "0\r\n")
        for (name, value, _) in trailers ?? [:] {
            guard name != "content-length" else { throw BackendMessageError() }
            try write(name, value, to: &bytes)
        }
        bytes.writeStaticString("\r\n")
        return bytes
    }

    private static func isGRPC(_ block: HPACKHeaders) -> Bool {
        block.first(name: "content-type")?.lowercased().hasPrefix(GRPC.contentType) ?? false
    }

    private static func write(_ name: String, _ value: String, to bytes: inout ByteBuffer) throws(BackendMessageError) {
        guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isLowerCaseToken), ASCII.isFieldValue(value) else {
            throw BackendMessageError()
        }
        guard !ofTheConnection.contains(name) else { return }
        bytes.writeString(name)
        bytes.writeStaticString(": ")
        bytes.writeString(value)
        bytes.writeStaticString("\r\n")
    }
}
