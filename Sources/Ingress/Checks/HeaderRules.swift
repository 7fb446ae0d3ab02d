import NIOCore
import NIOHTTP1

/// Which fields pass between a client and a sandbox, and which are made anew. Values only.
struct HeaderRules: Sendable {
    /// Never passed to the sandbox.
    private let droppedFromRequest: FieldNames
    private let droppedFromResponse: FieldNames
    /// Backend headers that are not set here: the caller must know them.
    private static let callersOwn = FieldNames(["opensandbox-secure-access", "opensandbox-egress-auth"])
    private static let structural = FieldNames(["host", "content-length", "transfer-encoding"])
    private let keepsHost: Bool

    /// An application behind it sees the host, authorization and cookies that its browser sent.
    static let gateway = HeaderRules(keepsHost: true, request: [], response: [])
    /// Contract, section 4: the host, authorization and cookies are the lifecycle API's.
    static let serverProxy = HeaderRules(
        keepsHost: false, request: ["authorization", "cookie"], response: ["server"])

    private init(keepsHost: Bool, request: [String], response: [String]) {
        self.keepsHost = keepsHost
        droppedFromRequest = FieldNames(
            FieldNames.hopByHop + FieldNames.forwarded + FieldNames.credentials + ["host"] + request)
        droppedFromResponse = FieldNames(FieldNames.hopByHop + ["content-length"] + response)
    }

    /// The request as the sandbox gets it.
    /// - Parameters:
    ///   - head: checked by `RequestHeadCheck`.
    ///   - target: path and query for the sandbox, without the backend's prefix.
    ///   - peer: the client's address; nil on a unix socket.
    func request(
        _ head: HTTPRequestHead, target: String, backend: Backend, peer: String?, scheme: String, upgrade: String?
    ) -> HTTPRequestHead {
        let host = head.headers.first(name: "host")
        let named = Self.named(in: head.headers)
        var headers = HTTPHeaders()
        headers.reserveCapacity(head.headers.count + 6)
        headers.add(name: "host", value: keepsHost ? host ?? backend.authority : backend.authority)
        var length: String?
        var isChunked = false
        for (name, value) in head.headers {
            if name.isEqualIgnoringCase(to: "content-length") {
                length = value
            } else if name.isEqualIgnoringCase(to: "transfer-encoding") {
                isChunked = true
            } else if passes(name, named, backend) && !Self.structural.contains(name) {
                if name.isEqualIgnoringCase(to: "cookie") {
                    if let rest = AccessCookie.stripped(value) { headers.add(name: name, value: rest) }
                } else {
                    headers.add(name: name, value: value)
                }
            }
        }
        if isChunked {
            headers.add(name: "transfer-encoding", value: "chunked")
        } else if let length {
            headers.add(name: "content-length", value: length)
        }
        headers.add(name: "x-forwarded-proto", value: scheme)
        if let host { headers.add(name: "x-forwarded-host", value: host) }
        if let peer { headers.add(name: "x-forwarded-for", value: peer) }
        for header in backend.headers where !Self.callersOwn.contains(header.name) {
            headers.add(name: header.name, value: header.value)
        }
        if let upgrade {
            headers.add(name: "connection", value: "upgrade")
            headers.add(name: "upgrade", value: upgrade)
        }
        let uri = backend.pathPrefix.isEmpty ? target : backend.pathPrefix + target
        // The decoder's name for it lacks the dash that it came with.
        let method = head.method == .MSEARCH ? .RAW(value: "M-SEARCH") : head.method
        return HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
    }

    /// The trailer fields that pass: none that could be taken for a field of the head that is made here.
    func trailers(_ trailers: HTTPHeaders, backend: Backend) -> HTTPHeaders {
        HTTPHeaders(trailers.filter { passes($0.name, [], backend) && !Self.structural.contains($0.name) })
    }

    private func passes(_ name: String, _ named: [String], _ backend: Backend) -> Bool {
        if droppedFromRequest.contains(name) { return false }
        if !named.isEmpty && named.contains(where: name.isEqualIgnoringCase) { return false }
        if !backend.headers.isEmpty {
            for header in backend.headers where !Self.callersOwn.contains(header.name) {
                if name.isEqualIgnoringCase(to: header.name) { return false }
            }
        }
        return true
    }

    /// The response as the client gets it: framed anew by its length, in chunks, or by the end of the connection.
    /// - Parameter canChunk: the client speaks HTTP/1.1.
    func response(_ head: HTTPResponseHead, toHEAD: Bool, canChunk: Bool) -> HTTPResponseHead {
        let named = Self.named(in: head.headers)
        var headers = HTTPHeaders()
        headers.reserveCapacity(head.headers.count + 2)
        var length: String?
        var isChunked = false
        for (name, value) in head.headers {
            if !droppedFromResponse.contains(name) {
                if name.isEqualIgnoringCase(to: "set-cookie"), AccessCookie.isSet(by: value) { continue }
                if named.isEmpty || !named.contains(where: name.isEqualIgnoringCase) {
                    headers.add(name: name, value: value)
                }
            } else if name.isEqualIgnoringCase(to: "content-length") {
                length = value
            } else if name.isEqualIgnoringCase(to: "transfer-encoding") {
                isChunked = true
            }
        }
        let hasBody = !toHEAD && head.status.mayHaveResponseBody
        if let length, !isChunked, head.status != .noContent, head.status.code >= 200 {
            headers.add(name: "content-length", value: length)
        } else if hasBody && canChunk {
            headers.add(name: "transfer-encoding", value: "chunked")
        }
        return HTTPResponseHead(version: canChunk ? .http1_1 : .http1_0, status: head.status, headers: headers)
    }

    /// Names listed in `Connection`, but for its options.
    private static func named(in headers: HTTPHeaders) -> [String] {
        var named: [String] = []
        for (name, value) in headers where name.isEqualIgnoringCase(to: "connection") {
            if value.isEqualIgnoringCase(to: "keep-alive") || value.isEqualIgnoringCase(to: "close") { continue }
            named += value.split(separator: ",").map { $0.trimmingSpaces() }
        }
        return named
    }
}

extension Backend {
    /// The backend's own `Host`.
    var authority: String {
        switch address {
        case .tcp(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix: "localhost"
        }
    }
}
