import NIOCore
import NIOHTTP1

/// The bytes of a client's connection and how far they have been read. Nothing comes out behind what was refused.
package struct RequestReader {
    /// What a client may send ahead of the sandbox's agreement to another protocol.
    private static let maxAhead = 65536

    private var decoder: RequestDecoder
    private var bytes = ByteBuffer()
    private var isDropping = false

    package init(_ limits: RequestHeadCheck) { decoder = RequestDecoder(limits) }

    package mutating func append(_ more: ByteBuffer) {
        guard !isDropping else { return }
        var more = more
        bytes.append(&more)
    }

    /// The next part of a request; nil where more has to come.
    package mutating func next() throws(HTTPMessageError) -> HTTPServerRequestPart? {
        guard !isDropping else { return nil }
        do throws(HTTPMessageError) { return try decoder.next(&bytes) } catch {
            drop()
            throw error
        }
    }

    /// Nothing comes for a while.
    package mutating func rest() { bytes.shrinkIfWasteful() }

    /// What comes from now on is not looked at.
    package mutating func drop() {
        isDropping = true
        bytes = ByteBuffer()
    }

    /// What has come and has not been read.
    package var hasBytes: Bool { bytes.readableBytes > 0 }
    /// Nothing is read behind the present request, which asks for another protocol.
    package var asksForUpgrade: Bool { decoder.isUpgrade }

    /// Whether there is room for what the client sends.
    package var takesBytes: Bool { !decoder.isStopped || bytes.readableBytes < Self.maxAhead }

    /// What stands behind a request for another protocol.
    package mutating func leftovers() -> [ByteBuffer] {
        defer { drop() }
        return bytes.readableBytes > 0 ? [bytes] : []
    }
}
