import NIOHTTP1

/// Refuses request heads that programs could read differently (RFC 9112, sections 3.2, 5 and 6; request smuggling). A
/// head that passes has one host, one kind of framing, and a target in origin form or `*`.
package struct RequestHeadCheck: Hashable, Sendable {
    /// The most bytes of all names and values together, and of the target.
    package var maxBytes = 32 << 10
    /// The most fields in one head.
    package var maxFields = 128

    package init() {}

    /// Fields that determine a message's length or recipient. If `Connection` named one, it would be removed.
    private static let structural = ["host", "content-length", "transfer-encoding"]

    /// Checks the head, and puts an absolute-form target into origin form.
    package func check(_ head: inout HTTPRequestHead) throws(HTTPMessageError) {
        guard head.version == .http1_1 || head.version == .http1_0 else {
            throw .version
        }
        guard head.method != .CONNECT else { throw .malformed("CONNECT is not served") }
        let host = try checkFields(head)
        guard host != nil || head.version == .http1_0 else { throw .malformed("the Host field is missing") }
        try checkTarget(&head, host: host)
    }

    private func checkFields(_ head: HTTPRequestHead) throws(HTTPMessageError) -> String? {
        var bytes = head.uri.utf8.count
        var host: String?
        var length: String?
        var coding: String?
        for (name, value) in head.headers {
            bytes += name.utf8.count + value.utf8.count + 4
            guard ASCII.isToken(name) else {
                throw .malformed("a field name is not a token")
            }
            guard ASCII.isFieldValue(value) else { throw .malformed("a field has control bytes") }
            switch name.utf8.count {
            case 4 where name.isEqualIgnoringCase(to: "host"):
                guard host == nil else { throw .malformed("there are several Host fields") }
                guard Self.isHost(value) else { throw .malformed("the Host field is not a host and a port") }
                host = value
            case 14 where name.isEqualIgnoringCase(to: "content-length"):
                guard length == nil else { throw .malformed("there are several Content-Length fields") }
                guard (1...18).contains(value.utf8.count), value.utf8.allSatisfy(ASCII.isDigit) else {
                    throw .malformed("the Content-Length is not a number")
                }
                length = value
            case 17 where name.isEqualIgnoringCase(to: "transfer-encoding"):
                guard coding == nil, value.isEqualIgnoringCase(to: "chunked"), head.version == .http1_1 else {
                    throw .malformed("chunked is the only transfer coding, once, in HTTP/1.1")
                }
                coding = value
            case 6 where name.isEqualIgnoringCase(to: "expect"):
                guard value.isEqualIgnoringCase(to: "100-continue") else { throw .expectation }
            case 10 where name.isEqualIgnoringCase(to: "connection"):
                try Self.checkConnection(value)
            default: break
            }
        }
        guard length == nil || coding == nil else {
            throw .malformed("Content-Length and Transfer-Encoding exclude each other")
        }
        guard bytes <= maxBytes, head.headers.count <= maxFields else {
            throw .tooLarge
        }
        return host
    }

    private static func checkConnection(_ value: String) throws(HTTPMessageError) {
        for option in value.split(separator: ",") {
            let name = option.trimmingSpaces()
            if structural.contains(where: name.isEqualIgnoringCase) {
                throw .malformed("Connection names a field that determines the message's length")
            }
        }
    }

    private func checkTarget(_ head: inout HTTPRequestHead, host: String?) throws(HTTPMessageError) {
        guard head.uri.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }) else {
            throw .malformed("the target has bytes that are not allowed in a URI")
        }
        if head.uri.utf8.first == UInt8(ascii: "/") { return }
        if head.uri == "*" && head.method == .OPTIONS { return }
        for scheme in ["http://", "https://"] where head.uri.lowercased().hasPrefix(scheme) {
            let rest = head.uri.dropFirst(scheme.count)
            let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            guard let host, rest[..<end].lowercased() == host.lowercased() else {
                throw .malformed("the target's authority is not the Host field's")
            }
            head.uri = rest[end...].first == "/" ? String(rest[end...]) : "/" + rest[end...]
            return
        }
        throw .malformed("the target is neither a path nor an absolute URI")
    }

    /// `name`, `name:port`, `[address]:port`: RFC 3986 without user information.
    private static func isHost(_ value: String) -> Bool {
        var bytes = Array(value.utf8)
        if let colon = bytes.lastIndex(of: UInt8(ascii: ":")), bytes.last != UInt8(ascii: "]") {
            guard bytes[(colon + 1)...].allSatisfy(ASCII.isDigit), bytes.count - colon - 1 <= 5 else { return false }
            bytes.removeSubrange(colon...)
        }
        if bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]") {
            return bytes.dropFirst().dropLast().allSatisfy { ASCII.isHexDigit($0) || $0 == 0x3A || $0 == 0x2E }
        }
        return !bytes.isEmpty && bytes.allSatisfy { ASCII.isAlphanumeric($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F }
    }
}
