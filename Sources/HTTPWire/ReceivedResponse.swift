import NIOCore
import NIOHTTP1

/// The head of a sandbox's response as it came: its bytes, and where its fields stand in them. Most fields pass as they are,
/// so that no text is made of them.
package struct ReceivedResponse: Sendable {
    package let version: HTTPVersion
    package let code: Int
    /// The status line and the fields.
    package let bytes: ByteBuffer
    package let lines: [FieldLines.Line]
    package let framing: MessageFraming

    /// The sandbox's connection may carry another response behind this one.
    package var persists: Bool { framing.persists(version) }

    /// The fields as texts (`FieldText`).
    package var headers: HTTPHeaders { bytes.withUnsafeReadableBytes { HTTPHeaders(lines, of: $0) } }
}

extension String {
    package init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.init(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }
}

extension HTTPHeaders {
    /// The fields that stand in a message.
    package init(_ lines: [FieldLines.Line], of bytes: UnsafeRawBufferPointer) {
        // Most heads are ASCII throughout: one look tells.
        let end = lines.last?.value.upperBound ?? 0
        guard ByteScan.isASCII(UnsafeRawBufferPointer(rebasing: bytes[..<end])) else {
            self.init(
                lines.map {
                    (String(bytes, $0.name), FieldText.text(UnsafeRawBufferPointer(rebasing: bytes[$0.value])))
                })
            return
        }
        self.init(lines.map { (String(bytes, $0.name), String(bytes, $0.value)) })
    }
}

/// What a response without a body has for its status, whatever its fields say (RFC 9112, section 6.3).
package enum ResponseStatus {
    package static func mayHaveBody(_ code: Int) -> Bool { code >= 200 && code != 204 && code != 304 }
}
