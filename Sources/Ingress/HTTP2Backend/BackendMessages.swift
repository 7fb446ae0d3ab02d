import NIOCore
import NIOHPACK
import NIOHTTP1

/// Messages of HTTP/1.1, as connections to sandboxes have them, as fields of HTTP/2, and back. Values without I/O.
enum BackendMessages {
    /// A field, or a head, that is none (RFC 9113, section 8.1.1): the stream ends.
    struct Malformed: Error, Hashable {}

    private static let ofTheConnection = FieldNames(FieldNames.hopByHop + ["host"])

    /// The head of a request. `te: trailers` says that trailers are understood, without which gRPC serves nothing.
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

    /// The head of a response, as bytes.
    /// - Parameter mayHaveBody: nothing about the request says otherwise.
    static func response(
        _ block: HPACKHeaders, mayHaveBody: Bool
    ) throws(Malformed) -> (bytes: ByteBuffer, code: Int, framing: Framing) {
        let status = block[":status"]
        guard status.count == 1, status[0].utf8.count == 3, let code = Int(status[0]), code >= 100, code != 101 else {
            throw Malformed()
        }
        var bytes = ByteBufferAllocator().buffer(capacity: 512)
        bytes.writeString("HTTP/1.1 \(code) \r\n")
        var framing = mayHaveBody && ResponseStatus.mayHaveBody(code) ? Framing.chunks : .none
        // A length leaves no room for trailers, which gRPC needs.
        if framing == .chunks, block.contains(name: "content-length"), !isGRPC(block) { framing = .length }
        for (name, value, _) in block where name.utf8.first != UInt8(ascii: ":") {
            if name == "content-length", framing == .chunks { continue }
            try write(name, value, to: &bytes)
        }
        if framing == .chunks { bytes.writeStaticString("transfer-encoding: chunked\r\n") }
        bytes.writeStaticString("\r\n")
        return (bytes, code, framing)
    }

    /// The end of a body in chunks.
    static func end(_ trailers: HPACKHeaders?) throws(Malformed) -> ByteBuffer {
        var bytes = ByteBuffer(string: "0\r\n")
        for (name, value, _) in trailers ?? [:] {
            guard name != "content-length" else { throw Malformed() }
            try write(name, value, to: &bytes)
        }
        bytes.writeStaticString("\r\n")
        return bytes
    }

    private static func isGRPC(_ block: HPACKHeaders) -> Bool {
        block.first(name: "content-type")?.lowercased().hasPrefix(GRPC.contentType) ?? false
    }

    private static func write(_ name: String, _ value: String, to bytes: inout ByteBuffer) throws(Malformed) {
        guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isLowerCaseToken), ASCII.isFieldValue(value) else {
            throw Malformed()
        }
        guard !ofTheConnection.contains(name) else { return }
        bytes.writeString(name)
        bytes.writeStaticString(": ")
        bytes.writeString(value)
        bytes.writeStaticString("\r\n")
    }
}
