/// Status and fields of an answer.
package struct ResponseHead: Hashable, Sendable {
    package struct Field: Hashable, Sendable {
        package var name: String
        package var value: String
    }

    package var status: Int
    package var fields: [Field] = []

    package init(status: Int, fields: [Field] = []) {
        self.status = status
        self.fields = fields
    }

    /// The first field of that name, whatever its case.
    package subscript(name: String) -> String? {
        let wanted = name.lowercased()
        return fields.first { $0.name.lowercased() == wanted }?.value
    }

    /// Seconds, if the server gives them (RFC 9110, section 10.2.3); dates are ignored.
    package var retryAfter: Int? { self["retry-after"].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil } }

    /// Of the body, where the server says it as a number.
    var contentLength: UInt64? { self["content-length"].flatMap { UInt64($0) } }
}

/// Makes a head of the lines that arrive before a body. libcurl has taken them off the connection, and out of HTTP/2.
struct ResponseHeadReader: Sendable {
    private var present: ResponseHead?
    /// The answer's own head is complete; what follows is trailers.
    private(set) var isComplete = false
    /// Bytes that may still come.
    private var left: Int

    init(limit: Int) { left = max(0, limit) }

    /// Takes a line with its line break.
    /// - Returns: the head, when this line completes it. Interim answers (RFC 9110, section 15.2) come to nothing.
    mutating func take(_ line: UnsafeRawBufferPointer) throws(HTTPClientError) -> ResponseHead? {
        guard line.count <= left else { throw .tooLarge(.head) }
        left -= line.count
        guard !isComplete else { return nil }
        let text = line.prefix { $0 != 13 && $0 != 10 }
        if text.isEmpty {
            guard let head = present else { throw .malformed }
            present = nil
            guard head.status >= 200 else { return nil }
            isComplete = true
            return head
        }
        guard present != nil else {
            present = try Self.statusLine(text)
            return nil
        }
        // A field without a colon was let pass by libcurl, and says nothing.
        guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let value = text[(colon + 1)...].drop { $0 == 32 || $0 == 9 }
        let end = value.lastIndex { $0 != 32 && $0 != 9 }.map { $0 + 1 } ?? value.startIndex
        present?.fields.append(
            ResponseHead.Field(
                name: String(decoding: text[..<colon], as: UTF8.self),
                value: String(decoding: value[value.startIndex..<end], as: UTF8.self)))
        return nil
    }

    /// `HTTP/1.1 200 OK`, and `HTTP/2 200`, as libcurl writes it for HTTP/2.
    private static func statusLine(_ text: some Collection<UInt8>) throws(HTTPClientError) -> ResponseHead {
        let words = text.split(separator: 32, maxSplits: 2)
        guard words.count >= 2, words[0].starts(with: Array("HTTP/".utf8)), words[1].count == 3,
            let status = Int(String(decoding: words[1], as: UTF8.self)), (100...599).contains(status)
        else { throw .malformed }
        return ResponseHead(status: status)
    }
}
