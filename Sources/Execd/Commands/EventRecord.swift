import FoundationEssentials

/// One event of any stream as it goes over the wire: one line of JSON and a blank line, without `data:`, because one client passes
/// each line to its JSON parser unchanged (docs/wire.md#event-streams). U+0085, U+2028 and U+2029 are escaped: they are legal in
/// JSON, but some clients split lines at them and would lose the event.
enum EventRecord {
    /// - Parameter event: strings and numbers that are finite.
    static func bytes(of event: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // Strings and integers always encode.
        let json = [UInt8](try! encoder.encode(event))
        var record: [UInt8] = []
        record.reserveCapacity(json.count + 2)
        json.withUnsafeBytes { append($0, to: &record, escapes: false) }
        return record + end
    }

    private static let end = Array("\n\n".utf8)

    // MARK: Output, of which there may be much

    /// What stands behind the text of an event of output.
    static func ending(_ stream: OutputStream, at now: Int64) -> [UInt8] {
        let type = stream == .standardOutput ? "stdout" : "stderr"
        return Array(#"","timestamp":\#(now),"type":"\#(type)"}"#.utf8) + end
    }

    /// Appends an event of output: the record of `StreamEvent.output`.
    /// - Parameters:
    ///   - hasBreak: whether a line break stands before the text.
    ///   - text: the text; what is not UTF-8 in it is replaced.
    static func appendOutput(
        hasBreak: Bool, _ text: UnsafeRawBufferPointer, ending: [UInt8], to record: inout [UInt8]
    ) {
        record.append(contentsOf: start)
        if hasBreak { record.append(contentsOf: lineBreak) }
        if text.allSatisfy({ $0 < 0x80 }) {
            append(text, to: &record, escapes: true)
        } else {
            var repaired = String(decoding: text, as: UTF8.self)
            repaired.withUTF8 { append(UnsafeRawBufferPointer($0), to: &record, escapes: true) }
        }
        record.append(contentsOf: ending)
    }

    private static let start = Array(#"{"text":""#.utf8)
    private static let lineBreak = Array(#"\n"#.utf8)

    private static let lineEnds: [(bytes: [UInt8], escape: String)] = [
        ([0xc2, 0x85], #"\u0085"#), ([0xe2, 0x80, 0xa8], #"\u2028"#), ([0xe2, 0x80, 0xa9], #"\u2029"#),
    ]

    /// Appends UTF-8, in runs as long as possible.
    /// - Parameter escapes: whether it is the content of a string; else it is JSON already.
    private static func append(_ bytes: UnsafeRawBufferPointer, to record: inout [UInt8], escapes: Bool) {
        var copied = 0, index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if isPlain(byte) || (!escapes && byte < 0x80) {
                index += 1
                continue
            }
            guard let (length, escape) = escape(bytes[index...]) else {
                index += 1
                continue
            }
            record.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[copied..<index]))
            record.append(contentsOf: escape.utf8)
            index += length
            copied = index
        }
        record.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[copied...]))
    }

    @inline(__always)
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    /// How many bytes are to be replaced at the start, and by what; nil for none.
    private static func escape(_ bytes: Slice<UnsafeRawBufferPointer>) -> (Int, String)? {
        guard let byte = bytes.first else { return nil }
        switch byte {
        case UInt8(ascii: "\""): return (1, #"\""#)
        case UInt8(ascii: "\\"): return (1, #"\\"#)
        case UInt8(ascii: "\n"): return (1, #"\n"#)
        case UInt8(ascii: "\r"): return (1, #"\r"#)
        case UInt8(ascii: "\t"): return (1, #"\t"#)
        case 0..<0x20: return (1, (byte < 16 ? #"\u000"# : #"\u00"#) + String(byte, radix: 16))
        case 0xc2, 0xe2: return lineEnds.first { bytes.starts(with: $0.bytes) }.map { ($0.bytes.count, $0.escape) }
        default: return nil
        }
    }
}
