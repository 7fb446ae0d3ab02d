/// A request of a client.
package struct ClientRequest: Sendable {
    /// What follows the head.
    package enum Body: Sendable {
        case none
        case bytes([UInt8])
        /// Called until it gives nil. The length is sent where it is known.
        case stream(length: Int?, next: @Sendable () async throws -> [UInt8]?)
    }

    package var method: String
    /// Path and query, percent-encoded, as they are sent.
    package var target: String
    package var headers: [(name: String, value: String)]
    package var body: Body
    /// Whether it may reach the server twice. A connection that is used again may be closed at that moment; the request
    /// is then sent once more. One that may not be repeated has a new connection.
    package var mayRepeat: Bool

    package init(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: Body = .none,
        mayRepeat: Bool? = nil
    ) {
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.mayRepeat = mayRepeat ?? Self.idempotentMethods.contains(method)
    }

    /// RFC 9110, section 9.2.2.
    private static let idempotentMethods: Set = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
}

extension ClientRequest: CustomStringConvertible, CustomReflectable {
    /// For logs: a path and headers may have secrets.
    package var description: String { method }
    package var customMirror: Mirror { Mirror(self, children: ["method": method]) }
}

// MARK: What may be sent

extension ClientRequest {
    /// Fields that say where a message ends or who reads it. They are made here.
    private static let ownFields: Set = [
        "host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect",
        "proxy-authorization", "proxy-connection", "keep-alive",
    ]

    /// Whether the client would send this field (RFC 9110, section 5.5).
    package static func isLegal(name: String, value: String) -> Bool {
        isToken(name) && !ownFields.contains(name.lowercased())
            && value.utf8.allSatisfy { $0 == 9 || $0 >= 0x20 && $0 != 0x7f }
    }

    func check(_ peer: HTTPPeer) throws(HTTPClientError) {
        // CONNECT makes no request of its target's server.
        guard Self.isToken(method), method != "CONNECT" else { throw .invalidRequest("its method") }
        guard target.utf8.first == UInt8(ascii: "/"), target.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            !target.contains("#")
        else { throw .invalidRequest("its path") }
        for (name, value) in peer.headers + headers where !Self.isLegal(name: name, value: value) {
            throw .invalidRequest("the header \(Self.isToken(name) ? name : "without a legal name")")
        }
        if case .stream(let length?, _) = body, length < 0 { throw .invalidRequest("its length") }
        if let socket = peer.unixSocket {
            // sockaddr_un, with its zero.
            guard !socket.isEmpty, socket.utf8.count <= 107, !socket.utf8.contains(0) else {
                throw .invalidRequest("the path of its socket")
            }
        }
        if let (user, password) = peer.proxy?.credentials {
            guard !user.utf8.contains(UInt8(ascii: ":")), !(user + password).utf8.contains(where: { $0 < 0x20 }) else {
                throw .invalidRequest("the proxy's user or password")
            }
        }
    }

    /// RFC 9110, section 5.6.2.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "a")...UInt8(ascii: "z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}
