import NIOCore
import NIOHTTP1

/// Reads requests of HTTP/1.1 and 1.0 from the bytes of a connection, one behind the other (RFC 9112). A value without I/O:
/// how the bytes are cut changes nothing, and each is looked at once.
///
/// It refuses what two programs could read in two ways: lines, fields, lengths, codings and chunks that are not to the
/// letter. What the fields mean is `RequestHeadCheck`'s.
package struct RequestDecoder: Sendable {
    private enum Phase {
        case line, fields, body
        /// Another protocol follows: nothing is read any more.
        case stopped
    }

    private var phase = Phase.line
    private var line: RequestLine
    private var fields: FieldLines
    private var body: BodyDecoder
    /// Bytes of the head that have been read.
    private var place = 0
    /// The request that is being read asks for another protocol.
    package private(set) var isUpgrade = false

    package init(_ limits: RequestHeadCheck) {
        line = RequestLine(maxBytes: limits.maxBytes)
        fields = FieldLines(maxBytes: limits.maxBytes, maxFields: limits.maxFields)
        body = BodyDecoder(maxTrailerBytes: limits.maxBytes, maxFields: limits.maxFields)
    }

    /// Bytes behind a request for another protocol are not this decoder's.
    package var isStopped: Bool { if case .stopped = phase { true } else { false } }

    /// - Parameter bytes: what has come and has not been read; what is read whole is taken from it. Between two calls bytes
    ///   may be put behind it, and nothing else.
    /// - Returns: nil where more has to come.
    package mutating func next(_ bytes: inout ByteBuffer) throws(HTTPMessageError) -> HTTPServerRequestPart? {
        switch phase {
        case .line, .fields:
            guard bytes.readableBytes > 0, let head = try readHead(bytes) else { return nil }
            bytes.moveReaderIndex(forwardBy: place)
            place = 0
            phase = .body
            return .head(head)
        case .body:
            switch try body.next(&bytes) {
            case nil: return nil
            case .bytes(let bytes): return .body(bytes)
            case .end(let trailers):
                phase = isUpgrade ? .stopped : .line
                return .end(trailers)
            }
        case .stopped: return nil
        }
    }

    private mutating func readHead(_ buffer: ByteBuffer) throws(HTTPMessageError) -> HTTPRequestHead? {
        try buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(HTTPMessageError) -> HTTPRequestHead? in
                if case .line = phase {
                    guard try line.read(bytes, &place) else { return nil }
                    fields.restart(at: place)
                    phase = .fields
                }
                guard try fields.read(bytes, &place) else { return nil }
                return try head(bytes)
            }
        }.get()
    }

    private mutating func head(_ bytes: UnsafeRawBufferPointer) throws(HTTPMessageError) -> HTTPRequestHead {
        let framing = try fields.framing(bytes)
        if framing.isChunked {
            guard line.version == .http1_1 else {
                throw .malformed("chunked is the only transfer coding, once, in HTTP/1.1")
            }
            body.beginChunked()
        } else {
            body.begin(length: framing.length ?? 0)
        }
        isUpgrade = framing.isUpgrade && !framing.isChunked && framing.length ?? 0 == 0
        defer { line.restart() }
        return HTTPRequestHead(
            version: line.version, method: line.method, uri: String(bytes, line.target), headers: fields.headers(bytes))
    }
}
