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
        var record = ByteBuffer()
        json.withUnsafeBytes { append($0, to: &record, escapes: false) }
        record.writeStaticString("\n\n")
        return Array(record.readableBytesView)
    }

    /// The same of an event that has no more than this.
    /// - Parameter type: one of ours, which needs no quotes.
    static func bytes(_ type: String, _ text: String?, executionTime: Int64?, at now: Int64) -> [UInt8] {
        let ending = ending(type, at: now)
        guard var text else {
            // Without the end of a text.
            return Array((executionTime.map { "{\"execution_time\":\($0)," } ?? "{").utf8) + ending[2...]
        }
        var record = ByteBuffer()
        ending.withUnsafeBytes { ending in
            text.withUTF8 { appendOutput(hasBreak: false, UnsafeRawBufferPointer($0), ending: ending, to: &record) }
        }
        return Array(record.readableBytesView)
    }

    // MARK: Output, of which there may be much

    /// What stands behind the text of an event of output.
    static func ending(_ stream: OutputStream, at now: Int64) -> [UInt8] {
        ending(stream == .standardOutput ? "stdout" : "stderr", at: now)
    }

    private static func ending(_ type: String, at now: Int64) -> [UInt8] {
        Array("\",\"timestamp\":\(now),\"type\":\"\(type)\"}\n\n".utf8)
    }

    /// Appends an event of output: the record of `StreamEvent.output`.
    /// - Parameters:
    ///   - hasBreak: whether a line break stands before the text.
    ///   - text: the text; what is not UTF-8 in it is replaced.
    ///   - ending: bytes of an `ending`.
    @inline(never) static func appendOutput(
        hasBreak: Bool, _ text: UnsafeRawBufferPointer, ending: UnsafeRawBufferPointer, to records: inout ByteBuffer
    ) {
        guard ByteScan.isASCII(text) else {
            var repaired = String(decoding: text, as: UTF8.self)
            repaired.withUTF8 { appendText(hasBreak, UnsafeRawBufferPointer($0), ending, to: &records) }
            return
        }
        appendText(hasBreak, text, ending, to: &records)
    }

    /// Appends events of the lines at the front, each of which stands behind a line break, as long as they are short and nothing in them
    /// has to be replaced: most output is like that, and is looked at once.
    /// - Parameter lines: up to and with the break of the last one that is taken, and perhaps more.
    /// - Returns: how many bytes those lines have.
    static func appendPlainLines(
        _ lines: UnsafeRawBufferPointer, maxLine: Int, ending: UnsafeRawBufferPointer, to records: inout ByteBuffer
    ) -> Int {
        let head = bytes(of: start(hasBreak: true)), longest = min(maxLine, maxPiece)
        var taken = 0, isOver = false
        while !isOver {
            records.writeWithUnsafeMutableBytes(minimumWritableBytes: head.count + longest + ending.count) { space in
                var cursor = Cursor(place: space.baseAddress!)
                var room = space.count
                while true {
                    let end = firstToReplace(in: lines, taken, to: lines.count), length = end &- taken
                    guard end < lines.count, lines[end] == UInt8(ascii: "\n"), length <= longest else {
                        isOver = true
                        break
                    }
                    room &-= head.count &+ length &+ ending.count
                    guard room >= 0 else { break }
                    cursor.put(head)
                    cursor.put(UnsafeRawBufferPointer(start: lines.baseAddress! + taken, count: length))
                    cursor.put(ending)
                    taken = end &+ 1
                }
                return cursor.place - space.baseAddress!
            }
        }
        return taken
    }

    private static func start(hasBreak: Bool) -> StaticString { hasBreak ? #"{"text":"\n"# : #"{"text":""# }

    private static func bytes(of text: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    /// - Parameter text: UTF-8.
    private static func appendText(
        _ hasBreak: Bool, _ text: UnsafeRawBufferPointer, _ ending: UnsafeRawBufferPointer, to records: inout ByteBuffer
    ) {
        let head = bytes(of: start(hasBreak: hasBreak))
        guard text.count <= maxPiece else {
            records.writeBytes(head)
            append(text, to: &records, escapes: true)
            records.writeBytes(ending)
            return
        }
        // Most lines are like this.
        let most = head.count + text.count * maxEscaped + ending.count
        records.writeWithUnsafeMutableBytes(minimumWritableBytes: most) { space in
            var cursor = Cursor(place: space.baseAddress!)
            cursor.put(head)
            _ = copy(text, 0..<text.count, to: &cursor, escapes: true)
            cursor.put(ending)
            return cursor.place - space.baseAddress!
        }
    }

    /// Bytes that are looked at together: what they may become is reserved for them.
    private static let maxPiece = 4096
    /// What a byte may become: `\u001f`.
    private static let maxEscaped = 6

    /// Appends UTF-8.
    /// - Parameter escapes: whether it is the content of a string; else it is JSON already.
    private static func append(_ bytes: UnsafeRawBufferPointer, to record: inout ByteBuffer, escapes: Bool) {
        var index = 0
        while index < bytes.count {
            let part = index..<min(index + maxPiece, bytes.count)
            // A character of three bytes may begin with the last one of the part.
            record.writeWithUnsafeMutableBytes(minimumWritableBytes: (part.count + 2) * maxEscaped) { space in
                var cursor = Cursor(place: space.baseAddress!)
                index = copy(bytes, part, to: &cursor, escapes: escapes)
                return cursor.place - space.baseAddress!
            }
        }
    }

    /// Where the next byte is written; there is room.
    private struct Cursor {
        var place: UnsafeMutableRawPointer

        mutating func put(_ bytes: UnsafeRawBufferPointer) {
            if let start = bytes.baseAddress { place.copyMemory(from: start, byteCount: bytes.count) }
            place += bytes.count
        }

        mutating func put(_ byte: UInt8) {
            place.storeBytes(of: byte, as: UInt8.self)
            place += 1
        }
    }

    /// Copies a part of UTF-8, in runs as long as possible.
    /// - Returns: where it has ended: at the part's end, or behind the character that is there.
    private static func copy(
        _ bytes: UnsafeRawBufferPointer, _ part: Range<Int>, to cursor: inout Cursor, escapes: Bool
    ) -> Int {
        var copied = part.lowerBound, index = copied
        while true {
            index = firstToReplace(in: bytes, index, to: part.upperBound)
            guard index < part.upperBound else { break }
            let byte = bytes[index]
            guard escapes || byte >= 0x80 else {
                index += 1
                continue
            }
            var length = 1
            let replacement: UInt16? =
                switch byte {
                case 0xc2 where index + 1 < bytes.count && bytes[index + 1] == 0x85: 0x85
                case 0xe2 where index + 2 < bytes.count && bytes[index + 1] == 0x80 && bytes[index + 2] & 0xfe == 0xa8:
                    0x2028 | UInt16(bytes[index + 2] & 1)
                case 0x80...: nil
                default: UInt16(byte)
                }
            if let replacement {
                cursor.put(UnsafeRawBufferPointer(rebasing: bytes[copied..<index]))
                length = replacement < 0x80 ? 1 : replacement < 0x800 ? 2 : 3
                escape(replacement, to: &cursor)
                copied = index + length
            }
            index += length
        }
        if copied < index { cursor.put(UnsafeRawBufferPointer(rebasing: bytes[copied..<index])) }
        return index
    }

    private static func escape(_ character: UInt16, to cursor: inout Cursor) {
        cursor.put(UInt8(ascii: "\\"))
        switch character {
        case 0x22, 0x5c: cursor.put(UInt8(character))
        case 0x0a: cursor.put(UInt8(ascii: "n"))
        case 0x0d: cursor.put(UInt8(ascii: "r"))
        case 0x09: cursor.put(UInt8(ascii: "t"))
        default:
            cursor.put(UInt8(ascii: "u"))
            for place in stride(from: 12, through: 0, by: -4) {
                let digit = UInt8(character >> UInt16(place) & 0xf)
                cursor.put(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit)
            }
        }
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The place of the first byte that may have to be replaced (a control byte, a quote, a backslash, or one of many of a
    /// character), or the end. Eight bytes are looked at together.
    private static func firstToReplace(in bytes: UnsafeRawBufferPointer, _ start: Int, to end: Int) -> Int {
        var index = start
        while index &+ 8 <= end {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            // The lowest bit that is set is exact: a borrow carries upwards only.
            let quote = word ^ (ones &* 0x22), backslash = word ^ (ones &* 0x5c)
            let below = (word &- (ones &* 0x20)) & ~word
            let found = (below | ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | word) & tops
            if found != 0 { return index &+ found.trailingZeroBitCount / 8 }
            index &+= 8
        }
        while index < end {
            let byte = bytes[index]
            if byte < 0x20 || byte == 0x22 || byte == 0x5c || byte >= 0x80 { break }
            index &+= 1
        }
        return index
    }
}
