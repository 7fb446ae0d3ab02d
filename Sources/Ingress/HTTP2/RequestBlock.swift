import HTTPWire
import NIOHPACK
import NIOHTTP1

/// Converts the fields of an HTTP/2 request to an HTTP/1.1 request, so that both pass the same checks (RFC 9113,
/// section 8.3).
///
/// It refuses what is malformed in HTTP/2 only. Values, host, length and target are left to `RequestHeadCheck`.
struct RequestBlock {
    /// The message is malformed (RFC 9113, section 8.1.1): a stream error; nothing of it reaches a sandbox.
    struct RequestBlockError: Error, Hashable { var reason: String }

    var head: HTTPRequestHead
    /// Whether CONNECT requests a WebSocket (RFC 8441); then `head` is the HTTP/1.1 handshake without its key.
    var opensWebSocket = false
    /// A well-formed request that cannot be passed on as it came is answered with this.
    var refusal: Refusal?

    struct Refusal: Hashable {
        var status: HTTPResponseStatus
        var text: String

        static let unknownProtocol = Refusal(status: .notImplemented, text: "CONNECT is for WebSockets here.")
        /// SwiftNIO's HPACK decoder holds values as Swift strings, and has replaced what is not UTF-8 before we see it.
        static let replacedBytes = Refusal(
            status: .badRequest, text: "A field's value is not UTF-8. Over HTTP/2 only UTF-8 is passed on here.")
    }

    /// - Parameter endsStream: whether the request has no body.
    init(_ block: HPACKHeaders, endsStream: Bool) throws(RequestBlockError) {
        var pseudo = PseudoFields()
        var fields: [(String, String)] = []
        fields.reserveCapacity(block.count + 2)
        var host: String?
        var cookie: String?
        var length: String?
        for (name, value, _) in block {
            if name.utf8.first == UInt8(ascii: ":") {
                guard fields.isEmpty, host == nil, cookie == nil, length == nil else {
                    throw RequestBlockError(reason: "a pseudo-header field comes after another field")
                }
                try pseudo.read(name, value)
                continue
            }
            try Self.check(name, value)
            if Self.hasReplacedBytes(value) { refusal = .replacedBytes }
            switch name {
            case "host":
                guard host == nil else { throw RequestBlockError(reason: "there are several host fields") }
                host = value
            case "cookie": cookie = cookie.map { $0 + "; " + value } ?? value
            case "content-length":
                guard length == nil || length == value else { throw RequestBlockError(reason: "there are two lengths") }
                length = value
            default: fields.append((name, FieldText.text(value)))
            }
        }
        guard let method = pseudo.method, let known = HTTPMethod(token: method) else {
            throw RequestBlockError(
                reason: ":method is missing, is not a token, or is a known method in the wrong case")
        }
        guard pseudo.authority == nil || host == nil || pseudo.authority!.isEqualIgnoringCase(to: host!) else {
            throw RequestBlockError(reason: ":authority and host differ")
        }
        let uri = try Self.target(pseudo, method)
        head = HTTPRequestHead(version: .http1_1, method: known, uri: uri)
        head.headers.reserveCapacity(fields.count + 6)
        if let host = pseudo.authority ?? host { head.headers.add(name: "host", value: host) }
        for (name, value) in fields { head.headers.add(name: name, value: value) }
        if let cookie { head.headers.add(name: "cookie", value: FieldText.text(cookie)) }
        if pseudo.protocol != nil {
            try makeHandshake(pseudo, length)
        } else {
            try frame(length, endsStream)
        }
    }

    private static func target(_ pseudo: PseudoFields, _ method: String) throws(RequestBlockError) -> String {
        if method == "CONNECT" && pseudo.protocol == nil {
            guard pseudo.scheme == nil, pseudo.path == nil, let authority = pseudo.authority else {
                throw RequestBlockError(reason: "CONNECT has an authority and nothing else")
            }
            return authority
        }
        guard pseudo.protocol == nil || method == "CONNECT" else {
            throw RequestBlockError(reason: ":protocol goes with CONNECT")
        }
        guard pseudo.scheme == "http" || pseudo.scheme == "https" else {
            throw RequestBlockError(reason: ":scheme is neither http nor https")
        }
        guard let path = pseudo.path, path.utf8.first == UInt8(ascii: "/") || (path == "*" && method == "OPTIONS")
        else { throw RequestBlockError(reason: ":path does not begin with a slash") }
        return path
    }

    private mutating func makeHandshake(_ pseudo: PseudoFields, _ length: String?) throws(RequestBlockError) {
        guard pseudo.authority != nil, length == nil else {
            throw RequestBlockError(reason: "CONNECT has an authority and no length")
        }
        guard pseudo.protocol == "websocket" else { return refusal = .unknownProtocol }
        opensWebSocket = true
        head.method = .GET
        for name in ["sec-websocket-key", "sec-websocket-accept"] { head.headers.remove(name: name) }
        head.headers.add(name: "connection", value: "upgrade")
        head.headers.add(name: "upgrade", value: "websocket")
    }

    private mutating func frame(_ length: String?, _ endsStream: Bool) throws(RequestBlockError) {
        if let length {
            guard !endsStream || length.utf8.allSatisfy({ $0 == UInt8(ascii: "0") }) else {
                throw RequestBlockError(reason: "a length without a body")
            }
            head.headers.add(name: "content-length", value: length)
        } else if !endsStream {
            head.headers.add(name: "transfer-encoding", value: "chunked")
        }
    }

    /// The trailer fields of a request.
    static func trailers(_ block: HPACKHeaders) throws(RequestBlockError) -> HTTPHeaders {
        var trailers = HTTPHeaders()
        for (name, value, _) in block {
            guard name.utf8.first != UInt8(ascii: ":") else {
                throw RequestBlockError(reason: "a pseudo-header field as trailer")
            }
            try check(name, value)
            guard value.utf8.allSatisfy(ASCII.isFieldByte), !hasReplacedBytes(value) else {
                throw RequestBlockError(reason: "a trailer field has bytes that are not allowed, or are not UTF-8")
            }
            trailers.add(name: name, value: FieldText.text(value))
        }
        return trailers
    }

    /// Whether a value has U+FFFD, which stands for bytes that the decoder has replaced. A client that sends this very
    /// character cannot be told from one that sends other bytes.
    private static func hasReplacedBytes(_ value: String) -> Bool {
        value.utf8.contains(0xEF) && value.unicodeScalars.contains("\u{FFFD}")
    }

    /// Field names must be lower case and must not be hop-by-hop (RFC 9113, sections 8.2.1 and 8.2.2). A name that is
    /// not a token must not reach `HTTPHeaders`, which traps if it is not ASCII.
    private static func check(_ name: String, _ value: String) throws(RequestBlockError) {
        guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isLowerCaseToken) else {
            throw RequestBlockError(reason: "a field name is not a token in lower case")
        }
        // Check this even for fields that are dropped later, such as a handshake's key.
        guard !value.utf8.contains(where: { $0 == 0x00 || $0 == 0x0A || $0 == 0x0D }) else {
            throw RequestBlockError(reason: "a value has a zero or the end of a line")
        }
        if let first = value.utf8.first, let last = value.utf8.last {
            guard first != 0x20, first != 0x09, last != 0x20, last != 0x09 else {
                throw RequestBlockError(reason: "a value has space at its ends")
            }
        }
        switch name {
        case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
            throw RequestBlockError(reason: "a field of the connection")
        case "te":
            guard value == "trailers" else { throw RequestBlockError(reason: "te is not trailers") }
        default: break
        }
    }
}

/// Pseudo-header fields such as `:method`, each at most once.
private struct PseudoFields {
    var method: String?
    var scheme: String?
    var authority: String?
    var path: String?
    var `protocol`: String?

    mutating func read(_ name: String, _ value: String) throws(RequestBlock.RequestBlockError) {
        func set(_ field: inout String?) throws(RequestBlock.RequestBlockError) {
            guard field == nil else { throw RequestBlock.RequestBlockError(reason: "\(name) occurs twice") }
            field = value
        }
        switch name {
        case ":method": try set(&method)
        case ":scheme": try set(&scheme)
        case ":authority": try set(&authority)
        case ":path": try set(&path)
        case ":protocol": try set(&self.protocol)
        default: throw RequestBlock.RequestBlockError(reason: "an unknown pseudo-header field")
        }
    }
}
