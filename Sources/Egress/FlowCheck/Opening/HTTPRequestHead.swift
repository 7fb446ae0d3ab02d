import NetworkPolicy

/// The head of an HTTP/1 request (RFC 9112): the host it is for, and where the request ends.
///
/// It is forwarded with `Connection: close`, so that no second request, to another host, can follow.
struct HTTPRequestHead: Hashable, Sendable {
    /// The request's body after the head.
    enum Body: Hashable, Sendable {
        case counted(UInt64)
        case chunked
    }

    var name: DomainName
    /// The port in `Host` or in the target; nil if none is stated.
    var port: UInt16?
    var body: Body
    /// Whether it asks for a WebSocket (RFC 6455), after which the connection is no longer HTTP.
    var asksForWebSocket: Bool
    /// The head to send to the server.
    var forwarded: [UInt8]

    static let maximumFields = 128

    /// The end of the head at the start of the array, if it is complete.
    /// - Parameter start: where to search from; no end lies before it.
    static func end(in bytes: [UInt8], from start: Int) -> Int? {
        var index = max(3, start)
        while index < bytes.count {
            if bytes[index] == 10, bytes[index - 1] == 13, bytes[index - 2] == 10, bytes[index - 3] == 13 {
                return index + 1
            }
            index += 1
        }
        return nil
    }

    /// - Parameter bytes: a whole head with its empty line and nothing after it.
    init(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) {
        let lines = try Self.lines(bytes)
        guard let first = lines.first else { throw .malformed("the HTTP request has no request line") }
        let line = try HTTPRequestLine(first)
        var fields = HTTPHeadFields()
        for line in lines.dropFirst() { try fields.add(line) }
        guard let host = fields.host else { throw .malformed("the HTTP request has no Host") }
        let authority = try HTTPAuthority(host)
        if let target = line.authority {
            guard target.name == authority.name, target.port ?? 80 == authority.port ?? 80 else {
                throw .malformed("the HTTP request's target and its Host differ")
            }
        }
        name = authority.name
        port = authority.port
        switch (fields.isChunked, fields.contentLength) {
        case (true, nil):
            guard !line.isVersion10 else { throw .malformed("an HTTP/1.0 request has a transfer coding") }
            body = .chunked
        case (true, _): throw .malformed("the HTTP request has both a length and a transfer coding")
        case (false, let length): body = .counted(length ?? 0)
        }
        asksForWebSocket = fields.asksForWebSocket && line.isGet && body == .counted(0)
        forwarded = Array(first) + [13, 10]
        for field in fields.kept { forwarded += field + [13, 10] }
        forwarded +=
            asksForWebSocket
            ? Array("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n".utf8) : Array("Connection: close\r\n\r\n".utf8)
    }

    /// The lines without their breaks, and without the final empty line. CR and LF may only occur together, as a line
    /// break.
    private static func lines(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) -> [ArraySlice<UInt8>] {
        let lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
        guard lines.count >= 3, lines[lines.count - 1].isEmpty, lines.count <= maximumFields + 3 else {
            throw .malformed("the HTTP request's head is malformed, or has too many fields")
        }
        var found: [ArraySlice<UInt8>] = []
        for line in lines.dropLast() {
            guard line.last == 13, !line.dropLast().contains(13) else {
                throw .malformed("the HTTP request's lines do not end in CR LF")
            }
            found.append(line.dropLast())
        }
        guard found.removeLast().isEmpty, !found.contains(where: \.isEmpty) else {
            throw .malformed("the HTTP request's head has no end")
        }
        return found
    }
}
