import NIOHTTP1

/// Reads a request line as RFC 9112, section 3 has it, over as many calls as it takes: a method, a target, and
/// `HTTP/1.1` or `HTTP/1.0`, with one space between, and CRLF. Empty lines may come in front (section 2.2).
package struct RequestLine: Sendable {
    private enum State { case start, emptyLine, method, target, version(Int), feed }

    package private(set) var method = HTTPMethod.GET
    package private(set) var target = 0..<0
    package private(set) var version = HTTPVersion.http1_1
    private var state = State.start
    private var mark = 0
    private var isOurs = true
    private let maxBytes: Int

    private static let text = Array("HTTP/1.1\r".utf8)
    private static let major = 5, minor = 7
    /// The longest that is registered has 17.
    private static let maxMethod = 32

    package init(maxBytes: Int) { self.maxBytes = maxBytes }

    package mutating func restart() { self = RequestLine(maxBytes: maxBytes) }

    /// - Parameters:
    ///   - all: the message from its first byte on, as far as it has come.
    ///   - place: what has been read; moves on.
    /// - Returns: whether the line has been read to its end.
    package mutating func read(_ all: UnsafeRawBufferPointer, _ place: inout Int) throws(HTTPMessageError) -> Bool {
        let bytes = UnsafeRawBufferPointer(rebasing: all[..<min(all.count, maxBytes)])
        var at = place
        defer { place = at }
        while at < bytes.count {
            switch state {
            case .start:
                if bytes[at] == 0x0D {
                    state = .emptyLine
                    at += 1
                } else {
                    mark = at
                    state = .method
                }
            case .emptyLine:
                guard bytes[at] == 0x0A else { throw Self.malformed }
                at += 1
                state = .start
            case .method:
                while at < bytes.count, ASCII.isToken(bytes[at]) { at += 1 }
                guard at - mark <= Self.maxMethod else { throw Self.malformed }
                guard at < bytes.count else { break }
                guard bytes[at] == 0x20, let known = Self.method(bytes, mark..<at) else { throw Self.malformed }
                method = known
                at += 1
                mark = at
                state = .target
            case .target:
                at = ByteScan.endOfTarget(in: bytes, from: at)
                guard at < bytes.count else { break }
                guard bytes[at] == 0x20, at > mark else { throw Self.malformed }
                target = mark..<at
                at += 1
                state = .version(0)
            case .version(let count):
                try readVersion(bytes[at], count)
                at += 1
            case .feed:
                guard bytes[at] == 0x0A else { throw Self.malformed }
                at += 1
                return true
            }
        }
        guard all.count <= bytes.count else { throw .targetTooLong }
        return false
    }

    private mutating func readVersion(_ byte: UInt8, _ count: Int) throws(HTTPMessageError) {
        let isNumber = count == Self.major || count == Self.minor
        guard isNumber ? ASCII.isDigit(byte) : byte == Self.text[count] else { throw Self.malformed }
        if count == Self.major, byte != UInt8(ascii: "1") { isOurs = false }
        if count == Self.minor {
            if byte > UInt8(ascii: "1") { isOurs = false }
            version = byte == UInt8(ascii: "0") ? .http1_0 : .http1_1
        }
        guard count + 1 == Self.text.count else { return state = .version(count + 1) }
        guard isOurs else { throw .version }
        state = .feed
    }

    private static let malformed = HTTPMessageError.malformed(
        "the request line is not a method, a target and HTTP/1.1, with one space between")

    private static func method(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> HTTPMethod? {
        let name = UnsafeRawBufferPointer(rebasing: bytes[range])
        if name.count == 3, name[0] == UInt8(ascii: "G"), name[1] == UInt8(ascii: "E"), name[2] == UInt8(ascii: "T") {
            return .GET
        }
        return HTTPMethod(token: String(decoding: name, as: UTF8.self))
    }
}

extension HTTPMethod {
    /// Any method, whose case counts (RFC 9110, section 9.1).
    /// - Returns: nil for what is no token, and for a known method in other letters: some servers take `get` for `GET`.
    package init?(token: String) {
        guard ASCII.isToken(token) else { return nil }
        let method = HTTPMethod(rawValue: token)
        switch method {
        // NIO's name for M-SEARCH lacks the dash, and is none that anybody sends.
        case .MSEARCH: self = .RAW(value: token)
        case .RAW:
            if case .RAW = HTTPMethod(rawValue: token.uppercased()) {} else { return nil }
            self = method
        default: self = method
        }
    }
}
