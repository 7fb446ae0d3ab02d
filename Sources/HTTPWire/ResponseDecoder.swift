import NIOCore
import NIOHTTP1

/// What a sandbox sends.
package enum ResponsePart: Sendable {
    /// Informational heads have no end; the one that changes the protocol has.
    case head(ReceivedResponse)
    case body(BodyPart)
}

/// Reads the responses of a sandbox from the bytes of a connection (RFC 9112). A value without I/O: how the bytes are cut
/// changes nothing.
///
/// A request has to be announced before its response is read; what comes without one is nobody's. Where a response could end
/// in two places it is refused: a sandbox must not be able to put words into the mouth of another answer.
package struct ResponseDecoder: Sendable {
    private enum Phase {
        /// No response is expected.
        case idle
        case line, fields, body
        /// Another protocol follows.
        case stopped
    }

    private var phase = Phase.idle
    private var line: StatusLine
    private var fields: FieldLines
    private var body: BodyDecoder
    private var place = 0
    private var toHEAD = false
    private var isSwitching = false

    /// - Parameter maxBytes: of a status line and of fields, each.
    package init(maxBytes: Int, maxFields: Int) {
        line = StatusLine(maxBytes: maxBytes)
        fields = FieldLines(maxBytes: maxBytes, maxFields: maxFields)
        body = BodyDecoder(maxTrailerBytes: maxBytes, maxFields: maxFields)
    }

    /// A request has been sent.
    package mutating func expect(toHEAD: Bool) {
        self.toHEAD = toHEAD
        line.restart()
        place = 0
        phase = .line
    }

    /// As `RequestDecoder.next`.
    package mutating func next(_ bytes: inout ByteBuffer) throws(HTTPMessageError) -> ResponsePart? {
        switch phase {
        case .line, .fields:
            guard bytes.readableBytes > 0, let head = try readHead(bytes) else { return nil }
            bytes.moveReaderIndex(forwardBy: place)
            place = 0
            line.restart()
            return .head(head)
        case .body:
            guard let part = try body.next(&bytes) else { return nil }
            if case .end = part { phase = isSwitching ? .stopped : .idle }
            return .body(part)
        case .idle, .stopped: return nil
        }
    }

    /// The connection has ended, and all bytes have been read.
    /// - Returns: the end of a response that has no other; nil where something is missing.
    package mutating func finish() -> ResponsePart? {
        guard case .body = phase, body.endsWithConnection else { return nil }
        phase = .idle
        return .body(.end(nil))
    }

    private mutating func readHead(_ buffer: ByteBuffer) throws(HTTPMessageError) -> ReceivedResponse? {
        try buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(HTTPMessageError) -> ReceivedResponse? in
                if case .line = phase {
                    guard try line.read(bytes, &place) else { return nil }
                    fields.restart(at: place)
                    phase = .fields
                }
                guard try fields.read(bytes, &place) else { return nil }
                return try head(bytes, buffer)
            }
        }.get()
    }

    private mutating func head(
        _ bytes: UnsafeRawBufferPointer, _ buffer: ByteBuffer
    ) throws(HTTPMessageError) -> ReceivedResponse {
        let framing = try fields.framing(bytes)
        guard !framing.isChunked || line.version == .http1_1 else { throw .malformed("HTTP/1.0 does not have chunks") }
        let head = ReceivedResponse(
            version: line.version, code: line.code, bytes: buffer, lines: fields.lines, framing: framing)
        isSwitching = line.code == 101
        phase = line.code < 200 && !isSwitching ? .line : .body
        if toHEAD || !ResponseStatus.mayHaveBody(line.code) {
            body.begin(length: 0)
        } else if framing.isChunked {
            body.beginChunked()
        } else if let length = framing.length {
            body.begin(length: length)
        } else {
            body.beginUntilClose()
        }
        return head
    }
}
