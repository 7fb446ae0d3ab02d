#if canImport(Glibc)
    import Glibc
#endif

/// Field values as texts that lose nothing. A value may have any byte above 0x7F (obs-text, RFC 9110, section 5.5), and a Swift
/// string has valid UTF-8 only: what is not is written in scalars for private use, and turned back when it is sent.
///
/// Byte `b` stands as U+10FF00 + b. A value that has such scalars of its own is written in the same way, so that every value
/// comes out as it went in.
package enum FieldText {
    /// What the UTF-8 of every such scalar begins with: F4 8F BE for 80 to BF, F4 8F BF for C0 to FF.
    private static let mark: UInt8 = 0xF4

    package static func text(_ bytes: UnsafeRawBufferPointer) -> String {
        if let text = String(validating: bytes, as: UTF8.self), !hasMark(bytes) { return text }
        var text = ""
        for byte in bytes {
            text.unicodeScalars.append(Unicode.Scalar(byte < 0x80 ? UInt32(byte) : 0x10FF00 + UInt32(byte))!)
        }
        return text
    }

    /// The same for a text that has come as one.
    package static func text(_ value: String) -> String {
        var value = value
        return value.withUTF8 { hasMark(UnsafeRawBufferPointer($0)) ? text(UnsafeRawBufferPointer($0)) : nil } ?? value
    }

    package static func hasMark(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress else { return false }
        return memchr(start, CInt(mark), bytes.count) != nil
    }

    /// The bytes that a text stands for.
    package static func bytes(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            if let byte = byte(scalar) { bytes.append(byte) } else { bytes.append(contentsOf: UTF8.encode(scalar)!) }
        }
        return bytes
    }

    /// A text for carriers that take valid UTF-8 alone: bytes that are none are replaced.
    package static func shown(_ text: String) -> String {
        var bytes = text
        guard bytes.withUTF8({ hasMark(UnsafeRawBufferPointer($0)) }) else { return text }
        return String(decoding: Self.bytes(text), as: UTF8.self)
    }

    private static func byte(_ scalar: Unicode.Scalar) -> UInt8? {
        (0x10FF80...0x10FFFF).contains(scalar.value) ? UInt8(scalar.value & 0xFF) : nil
    }
}
