import JSON
import NIOCore
import NIOHTTP1
import NIOPosix

/// One request over a connection of its own, by plain HTTP. Redirects are not followed.
struct PlainCall: Sendable {
    struct Answer: Sendable {
        let status: Int
        let body: [UInt8]
        var json: JSONValue? { try? JSONValue(body) }
    }

    /// There is no answer, or not a whole one.
    enum CallError: Error { case unreached, brokenOff }

    /// A literal address.
    var host: String
    var port: Int
    var timeout: TimeAmount

    private static let maxAnswer = 1 << 20

    func send(_ head: HTTPRequestHead, _ body: ByteBuffer?, on group: any EventLoopGroup) async throws -> Answer {
        var request = head
        request.headers.add(name: "connection", value: "close")
        if let body { request.headers.add(name: "content-length", value: String(body.readableBytes)) }
        // The whole call, and connecting alone.
        let deadline = NIODeadline.now() + timeout, patience = max(.milliseconds(1), min(.seconds(2), timeout))
        let sent = request, loop = group.next(), answer = loop.makePromise(of: Answer.self)
        do {
            let channel = try await ClientBootstrap(group: loop).connectTimeout(patience)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(Collector(answer, limit: Self.maxAnswer))
                    }
                }.connect(to: SocketAddress(ipAddress: host, port: port)).get()
            let ending = loop.scheduleTask(deadline: deadline) { channel.close(promise: nil) }
            defer { ending.cancel() }
            channel.write(HTTPClientRequestPart.head(sent), promise: nil)
            if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            // Here, where the deadline still holds.
            return try await answer.futureResult.get()
        } catch {
            answer.fail(CallError.unreached)
        }
        return try await answer.futureResult.get()
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

        func channelInactive(context: ChannelHandlerContext) { answer.fail(CallError.brokenOff) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
