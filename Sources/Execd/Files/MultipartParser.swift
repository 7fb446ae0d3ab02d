#if canImport(Glibc)
    import Glibc
#endif

/// Parses a multipart body incrementally (RFC 2046, section 5.1.1). Only bytes that may become a delimiter are
/// buffered.
struct MultipartParser: Sendable {
    enum Event: Hashable, Sendable {
        case part(MultipartHeaders)
        case bytes(ArraySlice<UInt8>)
        case partEnded
    }

    /// Why a body is not valid.
    enum MultipartError: Error, Hashable, Sendable, CustomStringConvertible {
        case headersTooLong
        case header(String)
        case truncated

        var description: String {
            switch self {
            case .headersTooLong: "the headers of a part are longer than \(MultipartParser.maxHeaders) bytes"
            case .header(let line): "a part has a malformed header: \(line)"
            case .truncated: "the body ends before its last boundary"
            }
        }
    }

    private enum Phase: Sendable {
        case preamble, headers, content, epilogue
    }

    /// The longest headers of a part, in bytes.
    static let maxHeaders = 16 << 10
    /// Blanks between a boundary and its line break (transport padding).
    private static let maxPadding = 64

    private let delimiter: [UInt8]
    private var phase = Phase.preamble
    // A delimiter starts with a line break, except that the first may be at the very start.
    private var pending = Array("\r\n".utf8)

    init(boundary: String) { delimiter = Array("\r\n--\(boundary)".utf8) }

    mutating func push(_ bytes: some Sequence<UInt8>) throws(MultipartError) -> [Event] {
        pending.append(contentsOf: bytes)
        var events: [Event] = []
        var position: Int? = 0
        var done = 0
        while let start = position {
            done = start
            switch phase {
            case .epilogue:
                done = pending.count
                position = nil
            case .headers: position = try readHeaders(from: start, &events)
            case .preamble, .content: position = readContent(from: start, &done, &events)
            }
        }
        pending = Array(pending[done...])
        return events
    }

    /// - Throws: `truncated` if the last boundary is missing.
    func finish() throws(MultipartError) {
        guard phase == .epilogue else { throw .truncated }
    }

    /// - Parameter start: the line break after the boundary, so that a part without headers is found, too.
    /// - Returns: where the content starts; nil when more bytes are needed.
    private mutating func readHeaders(from start: Int, _ events: inout [Event]) throws(MultipartError) -> Int? {
        let blank = Array("\r\n\r\n".utf8)
        var end = start
        while let candidate = find(13, from: end), !pending[candidate...].starts(with: blank) { end = candidate + 1 }
        guard let end = find(13, from: end), end - start <= Self.maxHeaders else {
            guard pending.count - start <= Self.maxHeaders else { throw .headersTooLong }
            return nil
        }
        events.append(.part(try MultipartHeaders(pending[start..<end])))
        phase = .content
        return end + blank.count
    }

    /// - Parameter done: advanced past bytes that cannot belong to a delimiter.
    /// - Returns: where the headers or the epilogue start; nil when more bytes are needed.
    private mutating func readContent(from start: Int, _ done: inout Int, _ events: inout [Event]) -> Int? {
        var candidate = find(13, from: start)
        var next: Int?
        search: while let position = candidate {
            switch judge(position) {
            case .other: candidate = find(13, from: position + 1)
            case .undecided: break search
            case .boundary(let after):
                next = after
                break search
            }
        }
        done = candidate ?? pending.count
        let isContent = phase == .content
        if isContent, done > start { events.append(.bytes(pending[start..<done])) }
        guard let next else { return nil }
        if isContent { events.append(.partEnded) }
        phase = pending[next] == 13 ? .headers : .epilogue
        return next
    }

    private enum Judgement {
        case other, undecided
        /// The first byte after the delimiter and its padding: a line break's, or the last boundary's dash.
        case boundary(Int)
    }

    /// Determines what starts with the line break at `position`.
    private func judge(_ position: Int) -> Judgement {
        let end = min(position + delimiter.count, pending.count)
        guard pending[position..<end].elementsEqual(delimiter.prefix(end - position)) else { return .other }
        guard end - position == delimiter.count, end < pending.count else { return .undecided }
        var after = end
        while after < pending.count, pending[after] == 32 || pending[after] == 9 { after += 1 }
        guard after - end <= Self.maxPadding else { return .other }
        let tail = pending[after...].prefix(2)
        for line in ["\r\n", "--"] where line == "\r\n" || after == end {
            if tail.elementsEqual(line.utf8) { return .boundary(after) }
            if tail.count < 2, line.utf8.starts(with: tail) { return .undecided }
        }
        return .other
    }

    private func find(_ byte: CInt, from start: Int) -> Int? {
        pending.withUnsafeBytes { buffer in
            guard start < buffer.count, let base = buffer.baseAddress,
                let found = memchr(base + start, byte, buffer.count - start)
            else { return nil }
            return found - UnsafeMutableRawPointer(mutating: base)
        }
    }
}
