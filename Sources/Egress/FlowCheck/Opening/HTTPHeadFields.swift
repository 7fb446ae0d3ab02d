/// Reads the fields of a request's head that say where it goes and how long it is. All other fields but hop-by-hop ones
/// are kept.
struct HTTPHeadFields: Sendable {
    private(set) var host: ArraySlice<UInt8>?
    private(set) var contentLength: UInt64?
    private(set) var isChunked = false
    /// The lines that are forwarded unchanged.
    private(set) var kept: [ArraySlice<UInt8>] = []
    private var connection: [String] = []
    private var upgrade: String?

    /// Only WebSocket is supported. Other upgrades are removed, so the request stays HTTP/1.
    var asksForWebSocket: Bool { upgrade == "websocket" && connection.contains("upgrade") }

    /// - Parameter line: without its line break.
    mutating func add(_ line: ArraySlice<UInt8>) throws(FlowRefusal) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), HTTPToken.isToken(line[..<colon]) else {
            // This includes folded lines, which begin with a space (RFC 9112, section 5.2).
            throw .malformed("a field of the HTTP request is not NAME: VALUE")
        }
        let value = Self.trimmed(line[(colon + 1)...])
        guard value.allSatisfy({ $0 == 9 || ($0 >= 0x20 && $0 != 0x7f) }) else {
            throw .malformed("a field of the HTTP request has control characters")
        }
        switch String(decoding: line[..<colon].map { HTTPToken.lower($0) }, as: UTF8.self) {
        case "host":
            guard host == nil else { throw .malformed("the HTTP request has more than one Host") }
            host = value
        case "content-length":
            guard contentLength == nil, (1...18).contains(value.count), value.allSatisfy(HTTPToken.isDigit),
                let length = UInt64(String(decoding: value, as: UTF8.self))
            else { throw .malformed("the HTTP request's length is not a number, or there are two") }
            contentLength = length
        case "transfer-encoding":
            guard !isChunked, Self.words(value) == ["chunked"] else {
                throw .malformed("the HTTP request has a transfer coding that is not chunked")
            }
            isChunked = true
        case "connection":
            connection += Self.words(value)
            return
        case "upgrade":
            upgrade = upgrade == nil ? Self.words(value).joined(separator: ",") : ""
            return
        case "keep-alive", "proxy-connection", "http2-settings": return
        default: break
        }
        kept.append(line)
    }

    /// Trims spaces and tabs.
    private static func trimmed(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let start = value.drop { $0 == 0x20 || $0 == 9 }
        guard let last = start.lastIndex(where: { $0 != 0x20 && $0 != 9 }) else { return start.prefix(0) }
        return start[...last]
    }

    /// The members of a list, in lower case.
    private static func words(_ value: ArraySlice<UInt8>) -> [String] {
        value.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
            String(decoding: trimmed($0).map { HTTPToken.lower($0) }, as: UTF8.self)
        }
    }
}
