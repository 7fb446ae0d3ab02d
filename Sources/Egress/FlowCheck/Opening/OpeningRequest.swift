import HTTPWire
import NIOHTTP1
import NetworkPolicy

/// An HTTP/1 request as far as it says who is meant and where it ends.
///
/// It goes on as one request of a connection that ends with it: what would let a second one follow, to another host, is
/// taken out.
struct OpeningRequest: Hashable, Sendable {
    /// How much of what follows the head is the request's.
    enum Body: Hashable, Sendable {
        case counted(UInt64)
        case chunked
    }

    var name: DomainName
    /// As stated in `Host` or in the target; nil where none is.
    var port: UInt16?
    var body: Body
    /// Whether it asks for a WebSocket (RFC 6455), after which the connection is no more HTTP. Any other protocol is left
    /// out, and the request stays HTTP/1.
    var asksForWebSocket: Bool
    /// The head as it goes to the server.
    var forwarded: [UInt8]

    private static let ofConnection = FieldNames([
        "connection", "upgrade", "keep-alive", "proxy-connection", "http2-settings",
    ])

    /// - Parameter bytes: the whole head.
    init(_ line: RequestLine, _ fields: FieldLines, of bytes: UnsafeRawBufferPointer) throws(FlowRefusal) {
        guard bytes.first.map(ASCII.isToken) == true else {
            throw .malformed("the HTTP request begins with an empty line")
        }
        guard line.method != .CONNECT else {
            throw .unsupported("CONNECT asks for a tunnel, whose end cannot be checked")
        }
        let framing: MessageFraming
        do throws(HTTPMessageError) { framing = try fields.framing(bytes) } catch { throw FlowRefusal(error) }
        func text(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
        func values(_ name: StaticString) -> [Range<Int>] {
            fields.lines.filter { ASCII.isEqual(text($0.name), name) }.map(\.value)
        }
        let hosts = values("host")
        guard hosts.count == 1 else { throw .malformed("the HTTP request has no Host, or more than one") }
        let authority = try HTTPAuthority(text(hosts[0]))
        if let target = try HTTPAuthority(target: text(line.target), of: line.method) {
            guard target.name == authority.name, target.port ?? 80 == authority.port ?? 80 else {
                throw .malformed("the HTTP request's target and its Host differ")
            }
        }
        name = authority.name
        port = authority.port
        guard !framing.isChunked || line.version == .http1_1 else {
            throw .malformed("an HTTP/1.0 request has a transfer coding")
        }
        body = framing.isChunked ? .chunked : .counted(UInt64(framing.length ?? 0))
        let protocols = values("upgrade")
        asksForWebSocket =
            framing.isUpgrade && protocols.count == 1 && ASCII.isEqual(text(protocols[0]), "websocket")
            && line.method == .GET && body == .counted(0)
        forwarded = Array(bytes[..<line.target.upperBound])
        forwarded += Array((line.version == .http1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n").utf8)
        for field in fields.lines where !Self.ofConnection.contains(text(field.name)) {
            forwarded += bytes[field.name.lowerBound..<field.value.upperBound]
            forwarded += [13, 10]
        }
        forwarded +=
            asksForWebSocket
            ? Array("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n".utf8) : Array("Connection: close\r\n\r\n".utf8)
    }
}

/// Reads the head of a request as it comes: each byte once, and what is none is told as soon as it shows.
struct OpeningRequestReader: Sendable {
    private var line = RequestLine(maxBytes: FlowOpening.limit)
    private var fields = FieldLines(maxBytes: FlowOpening.limit, maxFields: Self.maxFields)
    private var isLineRead = false
    /// Where the head ends, once it has been read.
    private(set) var place = 0

    static let maxFields = 128

    /// - Parameter bytes: the flow from its first byte on, as far as it has come.
    /// - Returns: nil where more has to come.
    mutating func read(_ bytes: [UInt8]) throws(FlowRefusal) -> OpeningRequest? {
        try bytes.withUnsafeBytes { bytes in
            Result { () throws(FlowRefusal) -> OpeningRequest? in
                do throws(HTTPMessageError) {
                    if !isLineRead {
                        guard try line.read(bytes, &place) else { return nil }
                        isLineRead = true
                        fields.restart(at: place)
                    }
                    guard try fields.read(bytes, &place) else { return nil }
                } catch { throw FlowRefusal(error) }
                return try OpeningRequest(line, fields, of: bytes)
            }
        }.get()
    }
}

extension FlowRefusal {
    init(_ error: HTTPMessageError) {
        switch error {
        case .tooLarge, .targetTooLong: self = .tooLong(limit: FlowOpening.limit)
        case .version: self = .unsupported("only HTTP/1.0 and HTTP/1.1 can be checked without TLS")
        case .malformed, .expectation: self = .malformed("the HTTP request is malformed or ambiguous: \(error)")
        }
    }
}

/// `host[:port]`, without user information (RFC 9110, section 4.2.4).
struct HTTPAuthority: Hashable, Sendable {
    var name: DomainName
    var port: UInt16?

    init(_ bytes: UnsafeRawBufferPointer) throws(FlowRefusal) {
        let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
        name = try StatedName.parse(bytes[..<(colon ?? bytes.count)])
        guard let colon else { return }
        let digits = bytes[(colon + 1)...]
        guard (1...5).contains(digits.count), digits.allSatisfy(ASCII.isDigit),
            let number = UInt16(String(decoding: digits, as: UTF8.self)), number > 0
        else { throw .notAName("its port is not a number from 1 to 65535") }
        port = number
    }

    /// That of an absolute target.
    /// - Returns: nil for a path.
    init?(target: UnsafeRawBufferPointer, of method: HTTPMethod) throws(FlowRefusal) {
        guard target.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") }) else {
            throw .malformed("the HTTP request's target has bytes that no address has")
        }
        if target.first == UInt8(ascii: "/") || (method == .OPTIONS && target.elementsEqual("*".utf8)) { return nil }
        let scheme = 7
        guard ASCII.isEqual(UnsafeRawBufferPointer(rebasing: target.prefix(scheme)), "http://") else {
            throw .malformed("the HTTP request's target is neither a path nor a http:// address")
        }
        let rest = target.dropFirst(scheme).prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        try self.init(UnsafeRawBufferPointer(rebasing: rest))
    }
}
