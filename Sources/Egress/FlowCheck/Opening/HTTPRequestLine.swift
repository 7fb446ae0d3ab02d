import NetworkPolicy

/// `GET /path HTTP/1.1` (RFC 9112, section 3).
struct HTTPRequestLine: Hashable, Sendable {
    /// The authority of an absolute target; nil for any other.
    var authority: HTTPAuthority?
    var isGet: Bool
    var isVersion10: Bool

    init(_ line: ArraySlice<UInt8>) throws(FlowRefusal) {
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 3, HTTPToken.isToken(parts[0]), !parts[1].isEmpty,
            parts[1].allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") })
        else { throw .malformed("the HTTP request line is not METHOD TARGET VERSION") }
        let version = String(decoding: parts[2], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            throw .unsupported("only HTTP/1.0 and HTTP/1.1 can be checked without TLS")
        }
        isVersion10 = version == "HTTP/1.0"
        let method = String(decoding: parts[0], as: UTF8.self)
        isGet = method == "GET"
        guard method != "CONNECT" else { throw .unsupported("CONNECT asks for a tunnel, whose end cannot be checked") }
        let target = parts[1]
        if target.first == UInt8(ascii: "/") || (method == "OPTIONS" && target.elementsEqual("*".utf8)) {
            authority = nil
        } else {
            let scheme = Array("http://".utf8)
            guard target.prefix(scheme.count).map({ HTTPToken.lower($0) }) == scheme else {
                throw .malformed("the HTTP request's target is neither a path nor a http:// address")
            }
            let ends: [UInt8] = [UInt8(ascii: "/"), UInt8(ascii: "?")]
            authority = try HTTPAuthority(target.dropFirst(scheme.count).prefix { !ends.contains($0) })
        }
    }
}

/// `host[:port]`, without user information (RFC 9110, section 4.2.4).
struct HTTPAuthority: Hashable, Sendable {
    var name: DomainName
    var port: UInt16?

    init(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) {
        let parts = bytes.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        name = try StatedName.parse(parts[0])
        guard parts.count == 2 else { return }
        guard (1...5).contains(parts[1].count), parts[1].allSatisfy(HTTPToken.isDigit),
            let number = UInt16(String(decoding: parts[1], as: UTF8.self)), number > 0
        else { throw .notAName("its port is not a number from 1 to 65535") }
        port = number
    }
}

/// Token characters of RFC 9110, section 5.6.2.
enum HTTPToken {
    private static let others = Set("!#$%&'*+-.^_`|~".utf8)

    static func isToken(_ bytes: ArraySlice<UInt8>) -> Bool { !bytes.isEmpty && bytes.allSatisfy(isTokenByte) }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lower(byte)) || others.contains(byte)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    static func lower(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
