import HTTPServer
import HTTPWire
import NIOCore
import NIOHTTP1

/// `/proxy/{port}/…`: the sandbox's applications through execd, for runtimes that publish execd's port alone
/// (docs/execd.md#proxy). Whatever the method, bodies both ways as they come, and WebSockets.
struct PortProxy: Sendable {
    /// Where this server listens.
    let ownPort: Int
    let sidecar: PolicySidecar

    /// - Parameter refusal: the answer to those who may not ask; nil for those who may.
    func add(to http: inout HTTPAPI, refusal: @escaping @Sendable (HTTPRequest) -> Reply?) {
        for path in ["/proxy", "/proxy/{port}/*"] {
            http.on(nil, path, access: .open) { request in
                if let answer = refusal(request) { return answer }
                return try prepare(request)
            }
        }
    }

    private func prepare(_ request: HTTPRequest) throws -> Reply {
        do throws(ProxiedRequest.Refusal) {
            let proxied = try ProxiedRequest(request, port: request.parameters["port"] ?? "", ownPort: ownPort)
            return Reply(.ok, body: .written { try await relay(request, proxied, $0) })
        } catch {
            throw ExecdError(
                .badRequest, "INVALID_REQUEST",
                error == .noPort ? "port is required: /proxy/8000/…, from 1 to 65535" : "a proxy to this proxy")
        }
    }

    private func relay(_ request: HTTPRequest, _ proxied: ProxiedRequest, _ writer: HTTPResponseWriter) async throws {
        let isSidecar =
            proxied.hasSidecarToken(request) ? try await FileWork()({ [sidecar] in sidecar.isListening() }) : false
        let connection: PortConnection.Channel
        do {
            connection = try await PortConnection.open(
                proxied.port, on: writer.eventLoop, toHEAD: request.method == .HEAD)
        } catch {
            let failure = ExecdError(
                .badGateway, "BAD_GATEWAY", "nothing accepts connections on port \(proxied.port) of the sandbox")
            return try await writer.send(failure.reply)
        }
        let channel = connection.channel
        writer.whenClientGone { channel.close(promise: nil) }
        writer.whenServerEnds { channel.close(promise: nil) }
        try await connection.executeThenClose { response, output in
            try await withThrowingTaskGroup(of: Void.self) { group in
                // An application may answer before it has read all.
                group.addTask { try await Self.send(request, proxied.head(request, isSidecar: isSidecar), to: output) }
                defer { group.cancelAll() }
                try await Self.answer(response, output, proxied, writer)
            }
        }
    }

    private static func send(
        _ request: HTTPRequest, _ head: OutgoingRequest, to output: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        var encoder = MessageEncoder()
        encoder.write(head)
        if let bytes = encoder.take() { try await output.write(bytes) }
        for try await bytes in request.body {
            for part in encoder.write(bytes) { try await output.write(part) }
            if let rest = encoder.take() { try await output.write(rest) }
        }
        encoder.writeEnd(nil)
        if let rest = encoder.take() { try await output.write(rest) }
    }

    private static func answer(
        _ response: NIOAsyncChannelInboundStream<ResponsePart>, _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        _ proxied: ProxiedRequest, _ writer: HTTPResponseWriter
    ) async throws {
        var hasBegun = false
        do {
            var parts = response.makeAsyncIterator()
            loop: while let part = try await parts.next() {
                switch part {
                case .head(let head) where head.code == 101:
                    guard proxied.upgrade != nil else { break loop }
                    hasBegun = true
                    return try await tunnel(head, &parts, output, writer)
                case .head(let head) where head.code < 200: break
                case .head(let head):
                    hasBegun = true
                    try await writer.start(
                        HTTPResponseStatus(statusCode: head.code), headers: ProxiedRequest.response(head))
                case .body(.bytes(let bytes)): try await writer.write(bytes)
                case .body(.end): return try await writer.finish()
                }
            }
        } catch  where !hasBegun && !writer.isClosed {}
        // What has begun is broken off: it must not be taken for whole.
        guard !hasBegun else { throw HTTPBodyError.clientGone }
        try await writer.send(
            ExecdError(.badGateway, "BAD_GATEWAY", "port \(proxied.port) of the sandbox gave no HTTP answer").reply)
    }

    /// Bytes both ways, until both have ended.
    private static func tunnel(
        _ head: ReceivedResponse, _ parts: inout NIOAsyncChannelInboundStream<ResponsePart>.AsyncIterator,
        _ output: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ writer: HTTPResponseWriter
    ) async throws {
        var headers = ProxiedRequest.response(head)
        headers.remove(name: "content-length")
        headers.add(name: "connection", value: "upgrade")
        for name in head.headers["upgrade"] { headers.add(name: "upgrade", value: name) }
        try await writer.switchProtocols(headers) { input, client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for try await bytes in input { try await output.write(bytes) }
                    output.finish()
                }
                while let part = try await parts.next() {
                    if case .body(.bytes(let bytes)) = part { try await client.write(bytes) }
                }
                client.finish()
                try await group.waitForAll()
            }
        }
    }
}
