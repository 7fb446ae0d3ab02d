import HTTPWire
import JSON
import NIOCore

/// One event of any stream as it goes over the wire: one line of JSON and a blank line, without `data:`, because one client passes
/// each line to its JSON parser unchanged (docs/wire.md#event-streams). U+0085, U+2028 and U+2029 are escaped: they are legal in
/// JSON, but some clients split lines at them and would lose the event.
enum EventRecord {
    /// - Parameter event: strings and numbers that are finite.
    static func bytes(of event: some Encodable) -> [UInt8] {
        // Strings and numbers always encode.
        let json = try! JSONText.of(event)
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
        hasBreak: Bool, _ text: UnsafeRawBufferPointer, ending: [UInt8], to records: inout ByteBuffer
    ) {
        let start = hasBreak ? startWithBreak : start
        guard firstToReplace(in: text, from: 0) == text.count else {
            var record = start
            if ByteScan.isASCII(text) {
                append(text, to: &record, escapes: true)
            } else {
                var repaired = String(decoding: text, as: UTF8.self)
                repaired.withUTF8 { append(UnsafeRawBufferPointer($0), to: &record, escapes: true) }
            }
            records.writeBytes(record + ending)
            return
        }
        // Most lines are like this.
        let count = start.count + text.count + ending.count
        records.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
            var place = space.baseAddress!
            func put(_ bytes: UnsafeRawBufferPointer) {
                if let from = bytes.baseAddress { place.copyMemory(from: from, byteCount: bytes.count) }
                place += bytes.count
            }
            start.withUnsafeBytes(put)
            put(text)
            ending.withUnsafeBytes(put)
            return count
        }
    }

    private static let start = Array(#"{"text":""#.utf8)
    private static let startWithBreak = Array(#"{"text":"\n"#.utf8)

    private static let lineEnds: [(bytes: [UInt8], escape: String)] = [
        ([0xc2, 0x85], #"\u0085"#), ([0xe2, 0x80, 0xa8], #"\u2028"#), ([0xe2, 0x80, 0xa9], #"\u2029"#),
    ]

    /// Appends UTF-8, in runs as long as possible.
    /// - Parameter escapes: whether it is the content of a string; else it is JSON already.
    private static func append(_ bytes: UnsafeRawBufferPointer, to record: inout [UInt8], escapes: Bool) {
        var copied = 0, index = 0
        while true {
            index = firstToReplace(in: bytes, from: index)
            guard index < bytes.count else { break }
            guard escapes || bytes[index] >= 0x80, let (length, escape) = escape(bytes[index...]) else {
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

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The place of the first byte that may have to be replaced (a control byte, a quote, a backslash, or one of many of a
    /// character), or the end. Eight bytes are looked at together.
    private static func firstToReplace(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index &+ 8 <= bytes.count {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            // The lowest bit that is set is exact: a borrow carries upwards only.
            let quote = word ^ (ones &* 0x22), backslash = word ^ (ones &* 0x5c)
            let below = (word &- (ones &* 0x20)) & ~word
            let found = (below | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | word) & tops
            if found != 0 { return index &+ found.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte < 0x20 || byte == 0x22 || byte == 0x5c || byte >= 0x80 { break }
            index &+= 1
        }
        return index
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
