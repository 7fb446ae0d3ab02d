import HTTPWire
import NIOCore
import NIOHTTP1
import Tracing

/// Decides which fields are passed on between a client and a sandbox, and which are replaced. A value without I/O.
struct HeaderRules: Sendable {
    /// Fields that are never passed to the sandbox.
    private let droppedFromRequest: FieldNames
    private let droppedFromResponse: FieldNames
    /// Backend headers that are never added here; the caller must send them itself.
    private static let callersOwn = FieldNames(["opensandbox-secure-access", "opensandbox-egress-auth"])
    private static let structural = FieldNames(["host", "content-length", "transfer-encoding"])
    private static let traceFields = FieldNames(["traceparent", "tracestate"])
    private let keepsHost: Bool

    /// An application behind it sees the host, authorization and cookies that its browser sent.
    static let gateway = HeaderRules(keepsHost: true, request: [], response: [])
    /// Drops host, authorization and cookies, which are meant for the lifecycle API (docs/wire.md#the-server-proxy). A sandbox's
    /// page may have no worker for more than its own path: the API and its pages are of the same origin.
    static let serverProxy = HeaderRules(
        keepsHost: false, request: ["authorization", "cookie"], response: ["server", "service-worker-allowed"])

    private init(keepsHost: Bool, request: [String], response: [String]) {
        self.keepsHost = keepsHost
        droppedFromRequest = FieldNames(
            FieldNames.hopByHop + FieldNames.forwarded + FieldNames.credentials + ["host"] + request)
        droppedFromResponse = FieldNames(FieldNames.hopByHop + ["content-length"] + response)
    }

    /// Makes the request for the sandbox.
    /// - Parameters:
    ///   - head: checked by `RequestHeadCheck`.
    ///   - target: path and query for the sandbox, without the backend's prefix.
    ///   - peer: the client's address; nil on a unix socket.
    ///   - trace: goes on in the place of the client's; nil: what the client sends passes as any field does.
    ///   - id: the same of the request's id.
    func request(
        _ head: HTTPRequestHead, target: String, backend: Backend, peer: String?, scheme: String, upgrade: String?,
        trace: TraceContext? = nil, id: String? = nil
    ) -> OutgoingRequest {
        let host = head.headers.first(name: "host")
        let named = Self.named(in: head.headers)
        var bytes = ByteBufferAllocator().buffer(capacity: 1024)
        bytes.writeString(head.method.rawValue)
        bytes.writeStaticString(" ")
        if !backend.pathPrefix.isEmpty { bytes.writeString(backend.pathPrefix) }
        bytes.writeString(target)
        bytes.writeStaticString(" HTTP/1.1\r\n")
        bytes.writeField("host", keepsHost ? host ?? backend.authority : backend.authority)
        var length: String?
        var isChunked = false
        for (name, value) in head.headers {
            switch name.utf8.count {
            case 14 where name.isEqualIgnoringCase(to: "content-length"): length = value
            case 17 where name.isEqualIgnoringCase(to: "transfer-encoding"): isChunked = true
            case 10 where trace != nil && Self.traceFields.contains(name),
                11 where trace != nil && Self.traceFields.contains(name),
                12 where id != nil && name.isEqualIgnoringCase(to: RequestID.header):
                break
            case 6 where name.isEqualIgnoringCase(to: "cookie"):
                guard passes(name, named, backend), let rest = AccessCookie.stripped(value) else { continue }
                bytes.writeField(name, rest)
            default:
                guard passes(name, named, backend), !Self.structural.contains(name) else { continue }
                bytes.writeField(name, value)
            }
        }
        if isChunked {
            bytes.writeStaticString("transfer-encoding: chunked\r\n")
        } else if let length {
            bytes.writeField("content-length", length)
        }
        if let trace { for field in trace.fields { bytes.writeField(field.name, field.value) } }
        if let id { bytes.writeField(RequestID.header, id) }
        bytes.writeField("x-forwarded-proto", scheme)
        if let host { bytes.writeField("x-forwarded-host", host) }
        if let peer { bytes.writeField("x-forwarded-for", peer) }
        for header in backend.headers where !Self.callersOwn.contains(header.name) {
            bytes.writeField(header.name, header.value)
        }
        if let upgrade {
            bytes.writeStaticString("connection: upgrade\r\n")
            bytes.writeField("upgrade", upgrade)
        }
        bytes.writeStaticString("\r\n")
        return OutgoingRequest(bytes: bytes, isHEAD: head.method == .HEAD, isChunked: isChunked)
    }

    /// The trailer fields to pass on, without any that could be taken for a field of the head that is set here.
    func trailers(_ trailers: HTTPHeaders, backend: Backend) -> HTTPHeaders {
        HTTPHeaders(trailers.filter { passes($0.name, [], backend) && !Self.structural.contains($0.name) })
    }

    private func passes(_ name: String, _ named: [String], _ backend: Backend) -> Bool {
        if droppedFromRequest.contains(name) { return false }
        if !named.isEmpty && named.contains(where: name.isEqualIgnoringCase) { return false }
        if !backend.headers.isEmpty {
            for header in backend.headers where name.isEqualIgnoringCase(to: header.name) {
                if !Self.callersOwn.contains(header.name) { return false }
            }
        }
        return true
    }

    /// Makes the response for the client, with new framing: by length, in chunks, or by the end of the connection.
    /// - Parameter canChunk: whether the client uses HTTP/1.1.
    func response(_ head: ReceivedResponse, toHEAD: Bool, canChunk: Bool) -> OutgoingResponse {
        let hasBody = !toHEAD && ResponseStatus.mayHaveBody(head.code)
        let length = head.framing.length
        let short = hasBody ? min(length ?? 0, 4096) : 0
        var result = OutgoingResponse(
            version: canChunk ? .http1_1 : .http1_0, code: head.code,
            size: (head.lines.last?.value.upperBound ?? 0) + short + 160)
        head.bytes.withUnsafeReadableBytes { bytes in
            let named = Self.named(bytes, head.lines)
            for line in head.lines {
                let name = UnsafeRawBufferPointer(rebasing: bytes[line.name])
                guard !droppedFromResponse.contains(name),
                    !named.contains(where: { ASCII.isEqual(name, ignoringCase: $0) })
                else {
                    continue
                }
                if name.count == 10, ASCII.isEqual(name, "set-cookie"),
                    AccessCookie.isSet(by: String(bytes, line.value))
                {
                    continue
                }
                result.add(line: UnsafeRawBufferPointer(rebasing: bytes[line.name.lowerBound..<line.value.upperBound]))
            }
        }
        if let length, head.code != 204, head.code >= 200 {
            result.addLength(length)
        } else if hasBody && canChunk {
            result.addChunked()
        }
        return result
    }

    private static func named(_ bytes: UnsafeRawBufferPointer, _ lines: [FieldLines.Line]) -> [String] {
        var named: [String] = []
        for line in lines where line.name.count == 10 {
            let value = UnsafeRawBufferPointer(rebasing: bytes[line.value])
            guard ASCII.isEqual(UnsafeRawBufferPointer(rebasing: bytes[line.name]), "connection"),
                !ASCII.isEqual(value, "keep-alive"), !ASCII.isEqual(value, "close")
            else { continue }
            named += names(in: String(decoding: value, as: UTF8.self))
        }
        return named
    }

    /// The field names listed in `Connection`.
    private static func named(in headers: HTTPHeaders) -> [String] {
        var named: [String] = []
        for (name, value) in headers where name.isEqualIgnoringCase(to: "connection") {
            if value.isEqualIgnoringCase(to: "keep-alive") || value.isEqualIgnoringCase(to: "close") { continue }
            named += names(in: value)
        }
        return named
    }

    private static func names(in list: String) -> [String] {
        list.split(separator: ",").map { $0.trimmingSpaces() }
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
