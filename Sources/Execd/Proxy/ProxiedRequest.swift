import HTTPServer
import HTTPWire
import NIOCore
import NIOHTTP1

/// A request for a port of the sandbox, as the application gets it. A value without I/O.
struct ProxiedRequest {
    /// Why a request is for no port.
    enum Refusal: Error, Hashable {
        case noPort
        /// It would come back here, again and again.
        case loop
    }

    let port: Int
    /// Path and query as the client wrote them, behind the port.
    let target: String
    /// What stands in front of it.
    let prefix: String
    /// The protocol that the client asks to change to.
    let upgrade: String?

    private static let sidecarToken = "opensandbox-egress-auth"
    private static let dropped = FieldNames(
        FieldNames.hopByHop + FieldNames.forwarded + FieldNames.credentials
            + ["host", "content-length", "expect", "x-execd-access-token", sidecarToken])

    /// - Parameters:
    ///   - port: as it stands in the path.
    ///   - ownPort: where this server listens.
    init(_ request: HTTPRequest, port text: String, ownPort: Int) throws(Refusal) {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy(ASCII.isDigit), let port = Int(text),
            (1...65535).contains(port)
        else { throw .noPort }
        self.port = port
        // Byte for byte: what the application is asked for is what the client wrote.
        var rest = Substring(request.target)
        for _ in 0..<2 { rest = rest.drop { $0 == "/" }.drop { $0 != "/" && $0 != "?" } }
        prefix = String(request.target[..<rest.startIndex])
        target = rest.hasPrefix("/") ? String(rest) : "/" + rest
        let path = target.prefix { $0 != "?" }.drop { $0 == "/" }
        guard port != ownPort || !path.hasPrefix("proxy") && !path.contains("%") else { throw .loop }
        upgrade = Self.upgrade(request)
    }

    /// A protocol that is tunnelled once the application has agreed to it; HTTP/2 never is, since requests inside would not be
    /// looked at.
    private static func upgrade(_ request: HTTPRequest) -> String? {
        let headers = request.headers
        let asks = headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
        let protocols = headers[canonicalForm: "upgrade"].map { String($0) }
        guard asks, request.version == .http1_1, protocols.count == 1, !protocols[0].lowercased().hasPrefix("h2"),
            protocols[0].utf8.allSatisfy({ ASCII.isToken($0) || $0 == UInt8(ascii: "/") }),
            !headers.contains(name: "transfer-encoding"), headers["content-length"].allSatisfy({ Int($0) == 0 })
        else { return nil }
        return protocols[0]
    }

    /// Whether it is for the sidecar that guards the sandbox, and has its token.
    func hasSidecarToken(_ request: HTTPRequest) -> Bool {
        port == PolicySidecar.port && request.headers.contains(name: Self.sidecarToken)
    }

    /// The head for the application, with the framing of the client's body.
    /// - Parameter isSidecar: whether the sidecar alone gets it, and so its token.
    func head(_ request: HTTPRequest, isSidecar: Bool) -> OutgoingRequest {
        let headers = request.headers
        let named = headers[canonicalForm: "connection"].map { $0.lowercased() }
        var bytes = ByteBufferAllocator().buffer(capacity: 1024)
        bytes.writeString("\(request.method.rawValue) \(target) HTTP/1.1\r\n")
        bytes.writeField("host", headers.first(name: "host") ?? "127.0.0.1:\(port)")
        for (name, value) in headers {
            guard !Self.dropped.contains(name), !named.contains(name.lowercased()) else { continue }
            bytes.writeField(name, value)
        }
        if isSidecar, let token = headers.first(name: Self.sidecarToken) { bytes.writeField(Self.sidecarToken, token) }
        let isChunked = headers.contains(name: "transfer-encoding")
        if isChunked {
            bytes.writeField("transfer-encoding", "chunked")
        } else if let length = headers.first(name: "content-length") {
            bytes.writeField("content-length", length)
        }
        if let client = client(request) { bytes.writeField("x-forwarded-for", client) }
        let scheme = headers.first(name: "x-forwarded-proto") == "https" ? "https" : "http"
        bytes.writeField("x-forwarded-proto", scheme)
        bytes.writeField("x-forwarded-prefix", prefix)
        if let upgrade {
            bytes.writeField("connection", "upgrade")
            bytes.writeField("upgrade", upgrade)
        } else {
            bytes.writeField("connection", "close")
        }
        bytes.writeString("\r\n")
        return OutgoingRequest(bytes: bytes, isHEAD: request.method == .HEAD, isChunked: isChunked)
    }

    /// Who asks, as those in front of execd say, or the peer.
    private func client(_ request: HTTPRequest) -> String? {
        let told = request.headers.first(name: "x-forwarded-for").map { $0.prefix { $0 != "," } }
        let text = told.map(String.init) ?? request.headers.first(name: "x-real-ip") ?? Self.address(request)
        return text.map { $0.filter { $0 != " " } }.flatMap { $0.isEmpty || $0.utf8.count > 64 ? nil : $0 }
    }

    /// The peer's; one of IPv4 as such, though the socket is of both.
    private static func address(_ request: HTTPRequest) -> String? {
        request.remoteAddress?.ipAddress.map { $0.hasPrefix("::ffff:") ? String($0.dropFirst(7)) : $0 }
    }

    private static let droppedFromResponse = FieldNames(FieldNames.hopByHop + ["content-length"])

    /// The application's head for the client; the framing is the server's.
    static func response(_ head: ReceivedResponse) -> HTTPHeaders {
        let headers = head.headers
        let named = headers[canonicalForm: "connection"].map { $0.lowercased() }
        var passed = HTTPHeaders(
            headers.filter { !droppedFromResponse.contains($0.name) && !named.contains($0.name.lowercased()) })
        if let length = head.framing.length, head.code != 204 {
            passed.add(name: "content-length", value: String(length))
        }
        return passed
    }
}
