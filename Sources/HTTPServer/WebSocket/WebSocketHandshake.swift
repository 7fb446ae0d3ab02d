import NIOHTTP1

/// Whose pages may open a WebSocket. Browsers let any page connect to any server, and say whose page it is in `Origin`;
/// programs send none, and are let in.
package enum WebSocketOrigins: Hashable, Sendable {
    /// Pages of the host that the request is for.
    case sameHost
    /// Any page: for routes that ask for a secret which no page has by itself, such as a header.
    case any
    /// These, as browsers write them: `https://console.example`.
    case listed(Set<String>)

    func allow(_ headers: HTTPHeaders) -> Bool {
        let origins = headers["origin"]
        guard let origin = origins.first else { return true }
        guard origins.count == 1 else { return false }
        switch self {
        case .any: return true
        case .listed(let known): return known.contains(origin)
        case .sameHost:
            let place = origin.drop { $0 != ":" }
            guard let host = headers.first(name: "host"), place.hasPrefix("://") else { return false }
            return place.dropFirst(3).lowercased() == host.lowercased()
        }
    }
}

/// Why a request cannot become a WebSocket. The API says it in its contract's shape, with `status` and `headers`.
package enum WebSocketHandshakeError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAsked, wrongVersion, badKey, hasBody, forbiddenOrigin

    package var status: HTTPResponseStatus {
        switch self {
        case .notAsked, .wrongVersion: .upgradeRequired
        case .badKey, .hasBody: .badRequest
        case .forbiddenOrigin: .forbidden
        }
    }

    /// What the client can do about it (RFC 9110, section 15.5.22; RFC 6455, section 4.4).
    var headers: HTTPHeaders {
        switch self {
        case .notAsked: ["connection": "upgrade", "upgrade": "websocket"]
        case .wrongVersion: ["connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"]
        case .badKey, .hasBody, .forbiddenOrigin: [:]
        }
    }

    package var description: String {
        switch self {
        case .notAsked: "this is a WebSocket: ask for the upgrade"
        case .wrongVersion: "the WebSocket version has to be 13"
        case .badKey: "Sec-WebSocket-Key has to be 16 bytes in base64"
        case .hasBody: "a request for a WebSocket must not have a body"
        case .forbiddenOrigin: "pages of this origin may not use this WebSocket"
        }
    }
}

/// What a client has to send (RFC 6455, section 4.2.1). A value without I/O.
enum WebSocketHandshake {
    static func check(_ request: HTTPRequest, _ origins: WebSocketOrigins) throws(WebSocketHandshakeError) {
        let headers = request.headers
        func lists(_ name: String, _ word: String) -> Bool {
            headers[canonicalForm: name].contains { $0.lowercased() == word }
        }
        guard request.method == .GET, request.version == .http1_1, lists("connection", "upgrade"),
            lists("upgrade", "websocket")
        else { throw .notAsked }
        guard headers["sec-websocket-version"] == ["13"] else { throw .wrongVersion }
        let keys = headers["sec-websocket-key"]
        guard keys.count == 1, isNonce(keys[0]) else { throw .badKey }
        guard !headers.contains(name: "transfer-encoding"),
            headers["content-length"].allSatisfy({ $0.allSatisfy { $0 == "0" } })
        else { throw .hasBody }
        guard origins.allow(headers) else { throw .forbiddenOrigin }
    }

    /// 16 bytes in base64: 22 digits, of which the last has four bits that are zero, and two signs of equality.
    private static func isNonce(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 24, bytes[22...].allSatisfy({ $0 == UInt8(ascii: "=") }) else { return false }
        return bytes[..<22].allSatisfy {
            switch $0 {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
    }
}
