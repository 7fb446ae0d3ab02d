/// Turns a stream of output bytes into event texts: one for each line, and every line break held back until a later line
/// follows it (docs/wire.md#event-streams).
///
/// `one\ntwo\n` gives `one`, then `\ntwo`; the last line break is never sent. The official SDK puts a line break between two
/// texts unless one of them has a `\n` or `\r` at the seam. So a line waits here for its break, or for the end of the output:
/// a part of it would come back with a break that nobody printed. A `\r` ends no line, and stays where it was printed.
///
/// A line of more than `longestLine` bytes is the exception. It is cut behind its last `\r`, where no break is put in, or else
/// between two characters.
struct TextAssembler: Sendable {
    /// Bytes of a line that wait for its break.
    static let defaultLongestLine = 1 << 20
    static let maxLines = 1024...4 << 20

    /// Bytes of an event on the wire: some clients take no longer line (docs/wire.md#event-streams).
    static let maxRecord = 4 << 20
    /// More bytes than stand around the text in a record.
    private static let envelope = 1024

    private let maxLine: Int
    private let maxEncoded: Int
    private var line: [UInt8] = []
    /// Bytes of the line as JSON, or more.
    private var encoded = 0
    private var hasDeferredBreak = false

    init(maxLine: Int = defaultLongestLine, maxRecord: Int = Self.maxRecord) {
        self.maxLine = maxLine
        maxEncoded = maxRecord - Self.envelope
    }

    /// The texts that can be sent now.
    mutating func append(_ bytes: [UInt8]) -> [String] {
        var texts: [String] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            hold(rest[..<end], &texts)
            if !line.isEmpty {
                texts.append(take(line.count))
            } else if hasDeferredBreak {
                // An empty line: its break is the one that was held back.
                texts.append("\n")
            }
            hasDeferredBreak = true
            rest = rest[(end + 1)...]
        }
        hold(rest, &texts)
        return texts
    }

    /// What is left when the output has ended.
    mutating func finish() -> [String] { line.isEmpty ? [] : [take(line.count)] }

    private mutating func hold(_ bytes: ArraySlice<UInt8>, _ texts: inout [String]) {
        for byte in bytes {
            let size = Self.encodedSize(byte)
            if line.count == maxLine || encoded + size > maxEncoded {
                let carriageReturn = line.lastIndex(of: UInt8(ascii: "\r"))
                texts.append(take(carriageReturn.map { $0 + 1 } ?? line.count - Self.incompleteTail(line)))
            }
            line.append(byte)
            encoded += size
        }
    }

    /// Takes the first bytes of the line, behind the break that was held back.
    private mutating func take(_ count: Int) -> String {
        let text = (hasDeferredBreak ? "\n" : "") + String(decoding: line[..<count], as: UTF8.self)
        line.removeFirst(count)
        encoded = line.reduce(0) { $0 + Self.encodedSize($1) }
        hasDeferredBreak = false
        return text
    }

    /// How many bytes one becomes in a JSON string, at the most. A byte that is no UTF-8 becomes U+FFFD; U+0085 is escaped.
    private static func encodedSize(_ byte: UInt8) -> Int {
        switch byte {
        case 0..<0x20, 0x7f: 6
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): 2
        case 0x80...: 3
        default: 1
        }
    }

    /// How many bytes at the end may be the start of a character whose rest has not come yet.
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
