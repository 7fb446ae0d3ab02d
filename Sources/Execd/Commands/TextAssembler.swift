#if canImport(Glibc)
    import Glibc
#endif

/// Turns a stream of output into event texts, one for each line. Each line break is held back and begins the next text
/// (docs/wire.md#event-streams).
///
/// `one\ntwo\n` gives `one`, then `\ntwo`; the last line break is never sent. The official SDK puts a line break
/// between two texts unless one of them has a `\n` or `\r` at the seam. So a line is held until its break or the end of
/// the output; if it were sent in parts, the client would show breaks that were never printed. A `\r` does not end a
/// line and stays where it is.
///
/// A line longer than `maxLine` bytes is split all the same: after its last `\r`, where clients insert no break, or
/// else between two characters.
///
/// Texts of code keep their line breaks, as clients of kernels expect: what has come is sent up to the last line's end.
struct TextAssembler: Sendable {
    /// The default for the longest line that is held, in bytes.
    static let defaultLongestLine = 1 << 20
    static let maxLines = 1024...4 << 20

    /// The longest event on the wire, in bytes; some clients accept no longer line (docs/wire.md#event-streams).
    static let maxRecord = 4 << 20
    /// An upper bound for the bytes around the text in a record.
    private static let envelope = 1024

    let maxLine: Int
    private let maxEncoded: Int
    private var line: [UInt8] = []
    /// An upper bound for the line's size as JSON, in bytes.
    private var encoded = 0
    private var hasDeferredBreak = false
    private let keepsBreaks: Bool

    init(maxLine: Int = defaultLongestLine, maxRecord: Int = Self.maxRecord, keepsBreaks: Bool = false) {
        self.maxLine = maxLine
        self.keepsBreaks = keepsBreaks
        maxEncoded = maxRecord - Self.envelope
    }

    private static let newline = UInt8(ascii: "\n")

    /// A text that can be sent: whether it begins with the line break that was held back, and its other bytes, which are
    /// there during the call only.
    typealias Emit = (_ hasBreak: Bool, _ bytes: UnsafeRawBufferPointer) -> Void

    /// The texts that can be sent now.
    mutating func append(_ bytes: [UInt8]) -> [String] {
        var texts: [String] = []
        bytes.withUnsafeBytes { append($0) { texts.append(Self.text($0, $1)) } }
        return texts
    }

    /// The rest, at the end of the output.
    mutating func finish() -> [String] {
        var texts: [String] = []
        if !line.isEmpty { take(line.count) { texts.append(Self.text($0, $1)) } }
        return texts
    }

    private static func text(_ hasBreak: Bool, _ bytes: UnsafeRawBufferPointer) -> String {
        (hasBreak ? "\n" : "") + String(decoding: bytes, as: UTF8.self)
    }

    /// The same without making texts of them. A line that comes whole is not copied.
    mutating func append(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) {
        if keepsBreaks {
            hold(bytes, emit)
            if Self.newline(in: bytes) != nil, let end = line.lastIndex(of: Self.newline) { take(end + 1, emit) }
            return
        }
        var rest = bytes
        while let end = Self.newline(in: rest) {
            let part = UnsafeRawBufferPointer(rebasing: rest[..<end])
            if line.isEmpty, !part.isEmpty, part.count <= maxLine, part.count <= maxEncoded / 6 {
                emit(hasDeferredBreak, part)
            } else {
                hold(part, emit)
                if !line.isEmpty {
                    take(line.count, emit)
                } else if hasDeferredBreak {
                    // An empty line consists of the break that was held back.
                    emit(true, UnsafeRawBufferPointer(start: nil, count: 0))
                }
            }
            hasDeferredBreak = true
            rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
        }
        hold(rest, emit)
    }

    /// Whether what comes begins a line, and the break before it is held back.
    var isBehindBreak: Bool { line.isEmpty && hasDeferredBreak }

    static func newline(in bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress, let found = memchr(base, CInt(newline), bytes.count) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private mutating func hold(_ bytes: UnsafeRawBufferPointer, _ emit: Emit) {
        if line.count + bytes.count <= maxLine, encoded + 6 * bytes.count <= maxEncoded {
            line.append(contentsOf: bytes)
            for byte in bytes { encoded += Self.encodedSize(byte) }
            return
        }
        for byte in bytes {
            let size = Self.encodedSize(byte)
            if line.count == maxLine || encoded + size > maxEncoded {
                let seam = line.lastIndex { $0 == UInt8(ascii: "\r") || $0 == Self.newline }
                take(seam.map { $0 + 1 } ?? line.count - Self.incompleteTail(line), emit)
            }
            line.append(byte)
            encoded += size
        }
    }

    /// Takes the first bytes of the line, after the break that was held back.
    private mutating func take(_ count: Int, _ emit: Emit) {
        line.withUnsafeBytes { emit(hasDeferredBreak, UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        if count == line.count { line.removeAll(keepingCapacity: count <= 64 << 10) } else { line.removeFirst(count) }
        encoded = line.reduce(0) { $0 + Self.encodedSize($1) }
        hasDeferredBreak = false
    }

    /// An upper bound for a text's size in a JSON string.
    static func encodedSize(of text: String) -> Int { text.utf8.reduce(0) { $0 + encodedSize($1) } }

    /// An upper bound for a byte's size in a JSON string. Invalid UTF-8 becomes U+FFFD; U+0085 is escaped.
    private static func encodedSize(_ byte: UInt8) -> Int {
        switch byte {
        case 0..<0x20, 0x7f: 6
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): 2
        case 0x80...: 3
        default: 1
        }
    }

    /// How many bytes at the end may belong to a character that is still incomplete.
    static func incompleteTail(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            return length > back ? back : 0
        }
        return 0
    }
}
