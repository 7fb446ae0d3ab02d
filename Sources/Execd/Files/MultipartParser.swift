#if canImport(Glibc)
    import Glibc
#endif

/// Parses a multipart body incrementally (RFC 2046, section 5.1.1). Only bytes that may become a delimiter are
/// copied and kept.
struct MultipartParser: Sendable {
    enum Event {
        case part(MultipartHeaders)
        /// They are there during the call only.
        case bytes(UnsafeRawBufferPointer)
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

    private static let cr = UInt8(ascii: "\r"), lf = UInt8(ascii: "\n")

    private let delimiter: [UInt8]
    private var phase = Phase.preamble
    /// What came before and is not decided. A delimiter starts with a line break, except that the first may be at the very start.
    private var kept = Array("\r\n".utf8)

    init(boundary: String) { delimiter = Array("\r\n--\(boundary)".utf8) }

    /// - Parameter take: gets what the bytes complete, in order.
    /// - Throws: a `MultipartError`, or what `take` throws.
    mutating func push(_ bytes: UnsafeRawBufferPointer, _ take: (Event) throws -> Void) throws {
        if kept.isEmpty {
            let done = try read(bytes, take)
            kept = Array(bytes[done...])
        } else {
            let joined = kept + bytes
            let done = try joined.withUnsafeBytes { try read($0, take) }
            kept = Array(joined[done...])
        }
    }

    /// - Returns: how many bytes are done with.
    private mutating func read(_ bytes: UnsafeRawBufferPointer, _ take: (Event) throws -> Void) throws -> Int {
        var position: Int? = 0
        var done = 0
        while let start = position {
            done = start
            switch phase {
            case .epilogue:
                done = bytes.count
                position = nil
            case .headers: position = try readHeaders(bytes, from: start, take)
            case .preamble, .content: position = try readContent(bytes, from: start, &done, take)
            }
        }
        return done
    }

    /// - Throws: `truncated` if the last boundary is missing.
    func finish() throws(MultipartError) {
        guard phase == .epilogue else { throw .truncated }
    }

    /// - Parameter start: the line break after the boundary, so that a part without headers is found, too.
    /// - Returns: where the content starts; nil when more bytes are needed.
    private mutating func readHeaders(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ take: (Event) throws -> Void
    ) throws -> Int? {
        let blank = Array("\r\n\r\n".utf8)
        var end = start
        while let candidate = Self.lineBreak(in: bytes, from: end), !bytes[candidate...].starts(with: blank) {
            end = candidate + 1
        }
        guard let end = Self.lineBreak(in: bytes, from: end), end - start <= Self.maxHeaders else {
            guard bytes.count - start <= Self.maxHeaders else { throw MultipartError.headersTooLong }
            return nil
        }
        try take(.part(try MultipartHeaders(Array(bytes[start..<end])[...])))
        phase = .content
        return end + blank.count
    }

    /// - Parameter done: advanced past bytes that cannot belong to a delimiter.
    /// - Returns: where the headers or the epilogue start; nil when more bytes are needed.
    private mutating func readContent(
        _ bytes: UnsafeRawBufferPointer, from start: Int, _ done: inout Int, _ take: (Event) throws -> Void
    ) throws -> Int? {
        var candidate = Self.lineBreak(in: bytes, from: start)
        var next: Int?
        search: while let position = candidate {
            switch judge(bytes, position) {
            case .other: candidate = Self.lineBreak(in: bytes, from: position + 1)
            case .undecided: break search
            case .boundary(let after):
                next = after
                break search
            }
        }
        done = candidate ?? bytes.count
        let isContent = phase == .content
        if isContent, done > start { try take(.bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<done]))) }
        guard let next else { return nil }
        if isContent { try take(.partEnded) }
        phase = bytes[next] == Self.cr ? .headers : .epilogue
        return next
    }

    private enum Judgement {
        case other, undecided
        /// The first byte after the delimiter and its padding: a line break's, or the last boundary's dash.
        case boundary(Int)
    }

    /// Determines what starts with the line break at `position`.
    private func judge(_ bytes: UnsafeRawBufferPointer, _ position: Int) -> Judgement {
        // In a file of any bytes, every 256th begins a line break, and few of these end one.
        if position + 1 < bytes.count, bytes[position + 1] != Self.lf { return .other }
        let count = min(delimiter.count, bytes.count - position), end = position + count
        let isPrefix = delimiter.withUnsafeBytes { memcmp($0.baseAddress!, bytes.baseAddress! + position, count) == 0 }
        guard isPrefix else { return .other }
        guard count == delimiter.count, end < bytes.count else { return .undecided }
        var after = end
        while after < bytes.count, bytes[after] == 32 || bytes[after] == 9 { after += 1 }
        guard after - end <= Self.maxPadding else { return .other }
        let tail = bytes[after...].prefix(2)
        for line in ["\r\n", "--"] where line == "\r\n" || after == end {
            if tail.elementsEqual(line.utf8) { return .boundary(after) }
            if tail.count < 2, line.utf8.starts(with: tail) { return .undecided }
        }
        return .other
    }

    private static func lineBreak(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, CInt(cr), bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
