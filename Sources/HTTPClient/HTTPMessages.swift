#if canImport(Glibc)
    import Glibc
#endif

/// A POST request with its complete body.
public struct HTTPPost: Hashable, Sendable {
    public var endpoint: HTTPEndpoint
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    public init(_ endpoint: HTTPEndpoint, headers: [(name: String, value: String)] = [], body: [UInt8]) {
        self.endpoint = endpoint
        self.headers = headers
        self.body = body
    }

    /// Encoded as HTTP/1.1 (RFC 9112), one request per connection.
    var bytes: [UInt8] {
        var head = "POST \(endpoint.target) HTTP/1.1\r\nHost: \(endpoint.authority)\r\nConnection: close\r\n"
        for (name, value) in headers where Self.isLegal(name) && Self.isLegal(value) { head += "\(name): \(value)\r\n" }
        head += "Content-Length: \(body.count)\r\n\r\n"
        return Array(head.utf8) + body
    }

    /// Whether the text has no byte that would end a field.
    private static func isLegal(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

    public static func == (left: HTTPPost, right: HTTPPost) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

/// The parts of an answer that matter here.
public struct HTTPReply: Hashable, Sendable {
    public var status: Int
    /// Seconds, if the server gives them (RFC 9110, section 10.2.3); dates are ignored.
    public var retryAfter: Int?

    public init(status: Int, retryAfter: Int? = nil) {
        self.status = status
        self.retryAfter = retryAfter
    }

    static let maximumHead = 16 << 10

    /// Parses the head at the start of the bytes, after any interim responses (RFC 9110, section 15.2).
    /// - Returns: nil if it is incomplete.
    /// - Throws: `HTTPClientError.malformed` if it is not an HTTP response, or its head is longer than `maximumHead`
    ///   bytes.
    static func parse(_ bytes: [UInt8]) throws(HTTPClientError) -> HTTPReply? {
        var rest = bytes[...]
        while true {
            guard rest.starts(with: Array("HTTP/1.".utf8).prefix(rest.count)) else { throw .malformed }
            guard let end = headEnd(rest) else {
                guard bytes.count < maximumHead else { throw .malformed }
                return nil
            }
            guard end - bytes.startIndex <= maximumHead else { throw .malformed }
            let reply = try HTTPReply(head: rest[..<end])
            if reply.status >= 200 { return reply }
            rest = rest[end...]
        }
    }

    private init(head: ArraySlice<UInt8>) throws(HTTPClientError) {
        let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline)
        let words = lines.first?.split(separator: " ", maxSplits: 2) ?? []
        guard words.count >= 2, words[1].utf8.count == 3, let status = Int(words[1]), (100...599).contains(status)
        else { throw .malformed }
        self.init(status: status)
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "retry-after" else { continue }
            retryAfter = Int(parts[1].filter { !$0.isWhitespace }).flatMap { $0 >= 0 ? $0 : nil }
        }
    }

    private static func headEnd(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.count >= 4 else { return nil }
        return (bytes.startIndex + 4...bytes.endIndex).first { bytes[$0 - 4..<$0].elementsEqual([13, 10, 13, 10]) }
    }
}

/// Why a request failed. No case contains what was posted.
public enum HTTPClientError: Error, Hashable, Sendable, CustomStringConvertible {
    case unresolved(host: String)
    case unreachable(errno: Int32)
    case timedOut
    case malformed
    /// The reason as the TLS library gives it.
    case insecure(String)

    public var description: String {
        switch self {
        case .unresolved(let host): "\(host) has no address"
        case .unreachable(let code): "no connection: \(String(cString: strerror(code)))"
        case .timedOut: "no answer in time"
        case .malformed: "the answer is not HTTP"
        case .insecure(let reason): "no TLS: \(reason)"
        }
    }
}
