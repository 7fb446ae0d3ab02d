import HTTPWire
import NIOCore
import NIOHPACK
import NIOHTTP1

@testable import Ingress

/// A request's fields in HTTP/2. The first byte says how the rest is read: bit 0, that the request has no body; bit 1, that
/// fields are in the simple form of `listed`, and otherwise in HPACK's.
enum FieldsFuzz {
    /// What RFC 9113, section 8, calls malformed never becomes a request of HTTP/1.1 that passes its checks; and one that
    /// passes says what the fields said.
    static func fields(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let ends = first & 1 != 0
        let rest = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        guard let block = first & 2 != 0 ? listed(rest) : decoded(rest) else { return }
        let fields = block.map { (name: $0.name, value: $0.value) }
        if let trailers = try? RequestBlock.trailers(block) {
            promise(!fields.contains { $0.value.unicodeScalars.contains("\u{FFFD}") }, "replaced bytes pass")
            promise(!Malformed.inFields(fields) && !fields.contains { $0.name.hasPrefix(":") }, "bad trailers pass")
            promise(trailers.map(\.name) == fields.map(\.name), "other trailers came out")
        }
        guard let request = try? RequestBlock(block, endsStream: ends), request.refusal == nil else { return }
        promise(
            !fields.contains { !$0.name.hasPrefix(":") && $0.value.unicodeScalars.contains("\u{FFFD}") },
            "replaced bytes pass")
        var head = request.head
        do { try RequestHeadCheck().check(&head) } catch { return }
        promise(!Malformed.inFields(fields), "malformed fields pass: \(fields)")
        promise(!Malformed.inPseudoFields(fields), "malformed pseudo-header fields pass: \(fields)")
        promise(!Malformed.inLength(fields, ends), "a malformed length passes: \(fields)")
        compare(head, with: fields, request.opensWebSocket, ends)
    }

    private static func compare(
        _ head: HTTPRequestHead, with fields: [(name: String, value: String)], _ opens: Bool, _ ends: Bool
    ) {
        func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
        promise(head.version == .http1_1 && [head.uri] == values(":path"), "another target")
        promise([head.method.rawValue] == (opens ? ["GET"] : values(":method")), "another method")
        let host = head.headers["host"]
        promise(host.count == 1 && (values(":authority").first ?? values("host").first) == host[0], "another host")
        let framing = head.headers["content-length"].count + head.headers["transfer-encoding"].count
        promise(framing <= 1 && (framing == 1 || ends || opens), "the framing is not clear")
        promise(Set(head.headers["content-length"]) == Set(values("content-length")), "another length")
        let made = ["host", "cookie", "content-length", "transfer-encoding", "connection", "upgrade"]
        let ofHandshake = opens ? ["sec-websocket-key", "sec-websocket-accept"] : []
        let passed = fields.filter { !$0.name.hasPrefix(":") && !(made + ofHandshake).contains($0.name) }
        let kept = head.headers.filter { !made.contains($0.name) }
        promise(
            kept.elementsEqual(passed) { $0.name == $1.name && FieldText.bytes($0.value) == Array($1.value.utf8) },
            "other fields came out")
        let crumbs = values("cookie")
        promise(
            head.headers["cookie"].map(FieldText.bytes)
                == (crumbs.isEmpty ? [] : [Array(crumbs.joined(separator: "; ").utf8)]), "another cookie")
        promise(head.headers["upgrade"] == (opens ? ["websocket"] : []), "another protocol")
        promise(head.headers["connection"] == (opens ? ["upgrade"] : []), "an option of the connection")
    }

    private static func decoded(_ bytes: UnsafeRawBufferPointer) -> HPACKHeaders? {
        var decoder = HPACKDecoder(allocator: ByteBufferAllocator())
        var buffer = ByteBuffer(bytes: bytes)
        return try? decoder.decodeHeaders(from: &buffer)
    }

    private static let names = [
        ":method", ":scheme", ":authority", ":path", ":protocol", ":status", "host", "cookie", "content-length", "te",
        "connection", "transfer-encoding", "upgrade", "expect", "sec-websocket-key", "x-a", "X-A",
    ]
    private static let values = [
        "", "GET", "OPTIONS", "CONNECT", "http", "https", "/", "*", "h.example", "websocket", "trailers", "0", "5",
        "100-continue", "chunked",
    ]

    /// Each field is a name and a value; each of these is a byte below 128, the place in a list, or a byte for a length, less
    /// 128, and so many bytes.
    private static func listed(_ bytes: UnsafeRawBufferPointer) -> HPACKHeaders {
        var rest = bytes[...], fields: [(String, String)] = []
        func text(_ list: [String]) -> String? {
            guard let byte = rest.popFirst() else { return nil }
            if byte < 128 { return list[Int(byte) % list.count] }
            let text = String(decoding: rest.prefix(Int(byte) - 128), as: UTF8.self)
            rest = rest.dropFirst(Int(byte) - 128)
            return text
        }
        while let name = text(names), let value = text(values) { fields.append((name, value)) }
        return HPACKHeaders(fields)
    }
}

/// RFC 9113, section 8, rule by rule and apart from what is tested.
private enum Malformed {
    typealias Fields = [(name: String, value: String)]

    /// Sections 8.2.1 and 8.2.2, and tokens of RFC 9110, section 5.6.2.
    static func inFields(_ fields: Fields) -> Bool {
        fields.contains { name, value in
            let plain = name.hasPrefix(":") ? name.dropFirst() : name[...]
            let tokens = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz".utf8)
            let spaces: [UInt8?] = [0x20, 0x09]
            return plain.isEmpty || !plain.utf8.allSatisfy(tokens.contains)
                || value.utf8.contains { $0 == 0 || $0 == 0x0A || $0 == 0x0D }
                || spaces.contains(value.utf8.first) || spaces.contains(value.utf8.last)
                || ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"].contains(name)
                || (name == "te" && value != "trailers")
        }
    }

    /// Sections 8.3, 8.3.1 and 8.5; RFC 8441, section 4.
    static func inPseudoFields(_ fields: Fields) -> Bool {
        let pseudo = fields.filter { $0.name.hasPrefix(":") }
        let known = Dictionary(grouping: pseudo, by: \.name).mapValues { $0.map(\.value) }
        guard known.values.allSatisfy({ $0.count == 1 }),
            fields.prefix(pseudo.count).allSatisfy({ $0.name.hasPrefix(":") }),
            Set(known.keys).isSubset(of: [":method", ":scheme", ":authority", ":path", ":protocol"]),
            let method = known[":method"]?[0], !method.isEmpty
        else { return true }
        if method == "CONNECT" && known[":protocol"] == nil {
            return known[":scheme"] != nil || known[":path"] != nil || known[":authority"] == nil
        }
        guard let scheme = known[":scheme"]?[0], let path = known[":path"]?[0] else { return true }
        if known[":protocol"] != nil && (method != "CONNECT" || known[":authority"] == nil) { return true }
        let letters = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.".utf8)
        if scheme.isEmpty || !scheme.utf8.allSatisfy(letters.contains) { return true }
        if !path.hasPrefix("/") && !(path == "*" && method == "OPTIONS") { return true }
        let authority = known[":authority"]?[0]
        if let authority, authority.contains("@") { return true }
        let hosts = fields.filter { $0.name == "host" }.map(\.value)
        return hosts.count > 1 || (authority != nil && hosts.contains { $0.lowercased() != authority!.lowercased() })
    }

    /// Section 8.1.1.
    static func inLength(_ fields: Fields, _ ends: Bool) -> Bool {
        let lengths = fields.filter { $0.name == "content-length" }.map(\.value)
        guard let length = lengths.first else { return false }
        guard lengths.allSatisfy({ $0 == length }), let count = Int(length), count >= 0 else { return true }
        return ends && count != 0
    }
}
