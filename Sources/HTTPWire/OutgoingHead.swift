import NIOCore
import NIOHTTP1

/// The head of a request on its way to a sandbox, as the bytes that are sent.
package struct OutgoingRequest {
    package let bytes: ByteBuffer
    package let isHEAD: Bool
    package let isChunked: Bool

    package init(bytes: ByteBuffer, isHEAD: Bool, isChunked: Bool) {
        (self.bytes, self.isHEAD, self.isChunked) = (bytes, isHEAD, isChunked)
    }
}

/// The head of a response on its way to a client, as the bytes that are sent but for the empty line behind them.
package struct OutgoingResponse {
    package let version: HTTPVersion
    package let code: Int
    package private(set) var bytes: ByteBuffer
    /// Where the fields begin.
    private let start: Int
    package private(set) var hasLength = false
    package private(set) var isChunked = false

    /// - Parameter size: how many bytes the response will have, with what stands behind its head.
    package init(version: HTTPVersion, code: Int, size: Int = 512) {
        self.version = version
        self.code = code
        bytes = ByteBufferAllocator().buffer(capacity: size)
        if version == .http1_1, code == 200 {
            bytes.writeStaticString("HTTP/1.1 200 OK\r\n")
        } else {
            let status = HTTPResponseStatus(statusCode: code)
            bytes.writeString("HTTP/\(version.major).\(version.minor) \(code) \(status.reasonPhrase)\r\n")
        }
        start = bytes.writerIndex
    }

    package init(_ head: HTTPResponseHead) {
        self.init(version: head.version, code: Int(head.status.code))
        for (name, value) in head.headers { add(name, value) }
    }

    package mutating func add(_ name: String, _ value: String) {
        bytes.writeField(name, value)
        if name.isEqualIgnoringCase(to: "content-length") { hasLength = true }
        if name.isEqualIgnoringCase(to: "transfer-encoding") { isChunked = true }
    }

    package mutating func addLength(_ length: Int) {
        bytes.writeStaticString("content-length: ")
        bytes.writeString(String(length))
        bytes.writeStaticString("\r\n")
        hasLength = true
    }

    package mutating func addChunked() {
        bytes.writeStaticString("transfer-encoding: chunked\r\n")
        isChunked = true
    }

    /// Adds a line of another head as it stands there, and CRLF.
    package mutating func add(line: UnsafeRawBufferPointer) {
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: line.count + 2) { bytes in
            bytes.copyMemory(from: line)
            (bytes[line.count], bytes[line.count + 1]) = (0x0D, 0x0A)
            return line.count + 2
        }
    }

    /// Its bytes, with the empty line behind them.
    package consuming func takeBytes() -> ByteBuffer {
        bytes.writeStaticString("\r\n")
        return bytes
    }

    /// The fields as texts (`FieldText`). They are written anew when they are set.
    package var headers: HTTPHeaders {
        get {
            let fields = bytes.getSlice(at: start, length: bytes.writerIndex - start)!
            var lines = FieldLines(maxBytes: .max, maxFields: .max), place = 0
            return fields.withUnsafeReadableBytes { bytes in
                // They end without an empty line, and are well formed otherwise: they were written here.
                _ = try? lines.read(bytes, &place)
                return HTTPHeaders(lines.lines, of: bytes)
            }
        }
        set {
            bytes.moveWriterIndex(to: start)
            (hasLength, isChunked) = (false, false)
            for (name, value) in newValue { add(name, value) }
        }
    }

    /// For carriers of heads as texts.
    package var head: HTTPResponseHead {
        HTTPResponseHead(version: version, status: HTTPResponseStatus(statusCode: code), headers: headers)
    }
}

extension ByteBuffer {
    /// - Parameter value: a `FieldText`.
    package mutating func writeField(_ name: String, _ value: String) {
        var name = name, value = value
        guard !value.withUTF8({ FieldText.hasMark(UnsafeRawBufferPointer($0)) }) else {
            writeString(name + ": ")
            writeBytes(FieldText.bytes(value))
            writeStaticString("\r\n")
            return
        }
        let count = name.utf8.count + value.utf8.count + 4
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
            var place = 0
            func put(_ text: UnsafeBufferPointer<UInt8>) {
                UnsafeMutableRawBufferPointer(rebasing: bytes[place...]).copyBytes(from: text)
                place += text.count
            }
            name.withUTF8(put)
            (bytes[place], bytes[place + 1]) = (UInt8(ascii: ":"), 0x20)
            place += 2
            value.withUTF8(put)
            (bytes[place], bytes[place + 1]) = (0x0D, 0x0A)
            return count
        }
    }
}
