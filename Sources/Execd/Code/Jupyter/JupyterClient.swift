import JSON
import NIOCore
import NIOHTTP1
import NIOPosix

/// Calls of a Jupyter server's REST API: one connection each, to loopback. Redirects are not followed.
struct JupyterClient: Sendable {
    /// Why there is no answer.
    struct CallError: Error, Hashable, Sendable, CustomStringConvertible {
        let description: String
        /// Whether the same call may succeed a moment later.
        var isPassing = true
    }

    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]
        var json: JSONValue? { try? JSONValue(body) }
    }

    let server: JupyterServer
    let group: any EventLoopGroup

    private static let maxAnswer = 1 << 20
    private static let timeout = TimeAmount.seconds(15)

    var headers: HTTPHeaders {
        var headers: HTTPHeaders = ["host": "127.0.0.1:\(server.port)"]
        if let token = server.token { headers.add(name: "authorization", value: "token \(token)") }
        return headers
    }

    func call(_ method: HTTPMethod, _ path: String, _ body: JSONObject? = nil) async throws -> Answer {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: server.base + path, headers: headers)
        let bytes = body.map { ByteBuffer(bytes: JSONValue.object($0).encoded) }
        head.headers.add(name: "connection", value: "close")
        if let bytes {
            head.headers.add(name: "content-type", value: "application/json")
            head.headers.add(name: "content-length", value: String(bytes.readableBytes))
        }
        let request = head, server = server
        let loop = group.next(), answer = loop.makePromise(of: Answer.self)
        do {
            let channel = try await ClientBootstrap(group: loop).connectTimeout(.seconds(2))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(Collector(answer, limit: Self.maxAnswer))
                    }
                }.connect(host: "127.0.0.1", port: server.port).get()
            let deadline = loop.scheduleTask(in: Self.timeout) { channel.close(promise: nil) }
            defer { deadline.cancel() }
            channel.write(HTTPClientRequestPart.head(request), promise: nil)
            if let bytes { channel.write(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil) }
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            // Here, where the deadline still holds.
            return try await answer.futureResult.get()
        } catch {
            answer.fail(CallError(description: "no Jupyter server answers on port \(server.port)"))
        }
        return try await answer.futureResult.get()
    }

    /// - Returns: the answer, of a status below 300.
    func demand(_ method: HTTPMethod, _ path: String, _ body: JSONObject? = nil) async throws -> JSONValue {
        let answer = try await call(method, path, body)
        guard answer.status < 300 else {
            throw CallError(
                description: "the Jupyter server answered \(method) \(path.prefix(80)) with \(answer.status)",
                isPassing: answer.status >= 500)
        }
        return answer.json ?? .null
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart

        private let answer: EventLoopPromise<Answer>
        private let limit: Int
        private var status = 0
        private var body: [UInt8] = []

        init(_ answer: EventLoopPromise<Answer>, limit: Int) {
            self.answer = answer
            self.limit = limit
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): status = Int(head.status.code)
            case .body(let part):
                body += part.readableBytesView
                if body.count > limit { context.close(promise: nil) }
            case .end:
                answer.succeed(Answer(status: status, body: body))
                context.close(promise: nil)
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            answer.fail(CallError(description: "the Jupyter server broke its answer off"))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
