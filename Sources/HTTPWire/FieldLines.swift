/// Reads field lines up to the empty line behind them (RFC 9112, section 5), over as many calls as they take: each byte is
/// looked at once. A head's and a trailer's are read the same way. Nothing is copied: what is found are places.
///
/// A line is a name of token bytes, a colon, and a value of visible bytes, spaces and tabs. Folded lines, a space in front of
/// the colon, bare CR or LF, and control bytes are refused.
package struct FieldLines: Sendable {
    /// Places of one field, counted from the message's first byte; the value is without white space at its ends.
    package struct Line: Sendable {
        package var name: Range<Int>
        package var value: Range<Int>
    }

    private enum State { case start, name, space, value, feed, lastFeed }

    package private(set) var lines: [Line] = []
    private var state = State.start
    private var nameStart = 0
    private var nameEnd = 0
    private var valueStart = 0
    /// Where the section begins.
    private var begin = 0
    private let maxBytes: Int
    private let maxFields: Int

    package init(maxBytes: Int, maxFields: Int) {
        self.maxBytes = maxBytes
        self.maxFields = maxFields
    }

    /// Starts anew.
    /// - Parameter begin: where the section's first line stands.
    package mutating func restart(at begin: Int) {
        lines.removeAll(keepingCapacity: true)
        state = .start
        self.begin = begin
    }

    /// - Parameters:
    ///   - bytes: the message from its first byte on, as far as it has come.
    ///   - place: what has been read; moves on.
    /// - Returns: whether the empty line has been read. What stands behind it has not.
    package mutating func read(_ all: UnsafeRawBufferPointer, _ place: inout Int) throws(HTTPMessageError) -> Bool {
        let bytes = UnsafeRawBufferPointer(rebasing: all[..<min(all.count, begin + maxBytes)])
        var at = place
        defer { place = at }
        while at < bytes.count {
            switch state {
            case .start:
                if bytes[at] == 0x0D {
                    state = .lastFeed
                    at += 1
                } else {
                    guard ASCII.isToken(bytes[at]) else { throw .malformed("a field name is not a token") }
                    guard lines.count < maxFields else { throw .tooLarge }
                    nameStart = at
                    state = .name
                }
            case .name:
                while at < bytes.count, ASCII.isToken(bytes[at]) { at += 1 }
                guard at < bytes.count else { break }
                guard bytes[at] == UInt8(ascii: ":") else {
                    throw .malformed("a field name is not a token followed by a colon")
                }
                nameEnd = at
                at += 1
                state = .space
            case .space:
                while at < bytes.count, bytes[at] == 0x20 || bytes[at] == 0x09 { at += 1 }
                guard at < bytes.count else { break }
                valueStart = at
                state = .value
            case .value:
                at = ByteScan.endOfField(in: bytes, from: at)
                guard at < bytes.count else { break }
                guard bytes[at] == 0x0D else { throw .malformed("a field has control bytes") }
                var end = at
                while end > valueStart, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
                lines.append(Line(name: nameStart..<nameEnd, value: valueStart..<end))
                at += 1
                state = .feed
            case .feed:
                guard bytes[at] == 0x0A else { throw .malformed("a field line does not end with CRLF") }
                at += 1
                state = .start
            case .lastFeed:
                guard bytes[at] == 0x0A else { throw .malformed("the fields do not end with CRLF") }
                at += 1
                return true
            }
        }
        guard all.count <= bytes.count else { throw .tooLarge }
        return false
    }
}
