import FoundationEssentials
import HTTPServer
import HTTPWire
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import TestSupport
import Testing

/// What it is asked, as text, with a length; `/upgrade` becomes an echo of bytes in capitals.
private final class EchoRelay: HTTPRelay {
    func makeHandler(on connection: ServerConnection, eventLoop: any EventLoop) -> any RelayHandler {
        EchoHandler(connection)
    }
}

private final class EchoHandler: ChannelInboundHandler, RelayHandler {
    typealias InboundIn = HTTPServerRequestPart

    private let connection: ServerConnection
    private var context: ChannelHandlerContext?
    private var text = ""
    private var requests = 0

    init(_ connection: ServerConnection) { self.connection = connection }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func receive(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            requests += 1
            text = "relay \(requests) \(head.uri) "
        case .body(let bytes): text += String(buffer: bytes)
        case .end: answer()
        }
    }

    private func answer() {
        var head = OutgoingResponse(version: .http1_1, code: 200)
        head.addLength(text.utf8.count)
        connection.write(head)
        connection.write(.bytes(ByteBuffer(string: text)))
        connection.write(.end(nil))
        context?.flush()
        connection.turnEnded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        text = "relay saw \(error is HTTPMessageError ? "what is no HTTP" : "\(error)")"
        var head = OutgoingResponse(version: .http1_1, code: 400)
        head.addLength(text.utf8.count)
        connection.write(head)
        connection.write(.bytes(ByteBuffer(string: text)))
        context.close(mode: .output, promise: nil)
    }
}

/// `/relay` is a relay's, and everything else a handler's, which reads its body and says `handled`. Below `/later` it is known later.
private struct Both: HTTPApplication {
    let relay = EchoRelay()

    func responder(to head: HTTPRequestHead) -> HTTPResponder {
        guard head.uri.hasPrefix("/later") else { return decided(head) }
        return .later {
            await Task.yield()
            var head = head
            head.uri = String(head.uri.dropFirst(6))
            return decided(head)
        }
    }

    private func decided(_ head: HTTPRequestHead) -> HTTPResponder {
        head.uri.hasPrefix("/relay")
            ? .relay(relay)
            : .handler { request, writer in
                let body = (try? await request.body.collect(upTo: 100)) ?? ByteBuffer()
                if request.path == "/stream" {
                    try? await writer.send(
                        .stream(.ok, headers: [:]) { try await $0.write(ByteBuffer(string: "flow")) })
                } else {
                    try? await writer.send(.text(.ok, "handled \(request.path) \(String(buffer: body))"))
                }
            }
    }

    func refusal(_ error: HTTPMessageError) -> Reply { .text(error.status, "refused: \(error.code)") }
}

/// One thread of its own.
private final class OwnThread: TaskExecutor {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var isCurrent: Bool { group.any().inEventLoop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        group.any().execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
}

@Suite struct ServerConnectionTests {
    private func ask(_ text: String) async throws -> String {
        try await withServer(application: Both()) { try await RawClient($0).exchange(text) }
    }

    private func bodies(_ answer: String) -> [String] {
        answer.components(separatedBy: "HTTP/1.1 200 OK\r\n").dropFirst().map {
            $0.components(separatedBy: "\r\n\r\n").dropFirst().joined(separator: "|")
        }
    }

    @Test func `relay and handler take turns on one connection, in the order of the requests`() async throws {
        func request(_ path: String, _ body: String, _ more: String = "") -> String {
            "POST \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.utf8.count)\r\n\(more)\r\n\(body)"
        }
        let answer = try await ask(
            request("/relay/1", "a") + request("/2", "b") + request("/relay/3", "c") + request("/relay/4", "")
                + request("/5", "e", "Connection: close\r\n"))
        #expect(
            bodies(answer) == [
                "relay 1 /relay/1 a", "handled /2 b", "relay 2 /relay/3 c", "relay 3 /relay/4 ", "handled /5 e",
            ])
    }

    @Test func `a request whose responder is known later keeps its place, and what follows waits`() async throws {
        func request(_ path: String, _ body: String, _ more: String = "") -> String {
            "POST \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.utf8.count)\r\n\(more)\r\n\(body)"
        }
        let long = String(repeating: "x", count: 90)
        let answer = try await ask(
            request("/later/relay/1", "a") + request("/2", "b") + request("/later/3", long) + request("/relay/4", "d")
                + request("/later/relay/5", "") + request("/later/6", "f", "Connection: close\r\n"))
        #expect(
            bodies(answer) == [
                "relay 1 /later/relay/1 a", "handled /2 b", "handled /later/3 \(long)", "relay 2 /relay/4 d",
                "relay 3 /later/relay/5 ", "handled /later/6 f",
            ])
    }

    @Test func `what cannot be read is refused in the application's words, once, or left to the relay`() async throws {
        for (text, words) in [
            ("NONSENSE\r\n\r\n", "refused: MALFORMED_REQUEST"),
            ("GET / HTTP/2.0\r\n\r\n", "refused: HTTP_VERSION"),
            ("GET / HTTP/1.1\r\nA: \(String(repeating: "a", count: 33 << 10))\r\n\r\n", "refused: HEADERS_TOO_LARGE"),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "refused: MALFORMED_REQUEST"),
            (
                "POST /relay HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                "relay saw what is no HTTP"
            ),
            ("GET /relay HTTP/1.1\r\nHost: h\r\n\r\nNONSENSE\r\n\r\n", "refused: MALFORMED_REQUEST"),
        ] {
            let answer = try await ask(text)
            #expect(answer.hasSuffix(words), "\(text.prefix(40)): \(answer)")
            #expect(answer.components(separatedBy: "refused").count <= 2)
        }
    }

    @Test func `an answer that blocks is made on threads of its own, and sent on the event loop`() async throws {
        let thread = OwnThread()
        var api = HTTPAPI(.decoded, logger: Logger(label: "test")) { _, _ in .empty(.notFound) }
        api.on(.POST, "/blocks", threads: thread) { request in
            let body = String(decoding: try await request.wholeBody(), as: UTF8.self)
            let isMadeThere = thread.isCurrent
            return .stream(.ok, headers: [:]) { writer in
                let isSentOnLoop = writer.eventLoop.inEventLoop
                try await writer.write(ByteBuffer(string: "\(body) \(isMadeThere) \(isSentOnLoop)"))
                // As after each wait.
                try await writer.write(ByteBuffer(string: "and \(writer.eventLoop.inEventLoop)"))
            }
        }
        let request = "POST /blocks HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nit"
        let answer = try await withServer(application: api) { try await RawClient($0).exchange(request + request) }
        #expect(answer.components(separatedBy: "c\r\nit true true\r\n8\r\nand true\r\n0\r\n\r\n").count == 3)
        try await thread.group.shutdownGracefully()
    }

    @Test func `behind a request for another protocol nothing is read`() async throws {
        let answer = try await ask(
            "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        #expect(answer.contains("connection: close\r\n") && answer.hasSuffix("handled /1 "))
    }

    @Test func `a connection that a relay has served can become a WebSocket, and the relay sees nothing of it`()
        async throws
    {
        var api = HTTPAPI(.decoded, logger: Logger(label: "test")) { _, _ in .empty(.notFound) }
        api.on("/relay/*", relay: EchoRelay())
        api.on(.GET, "/ws") {
            try .webSocket($0) { socket in
                for try await message in socket.messages { try await socket.send(message) }
            }
        }
        let early = WebSocketClient.bytes(.text("early"))
        let requests = "GET /relay/1 HTTP/1.1\r\nHost: h\r\n\r\n" + WebSocketClient.handshake("/ws")
        try await withServer(application: api) { address in
            try await WebSocketClient.with(address, requests, early: early) { client, first in
                #expect(first.hasPrefix("HTTP/1.1 200 OK\r\n"))
                let head = try await client.head()
                #expect(head.hasPrefix("relay 1 /relay/1 HTTP/1.1 101 Switching Protocols\r\n"))
                for text in ["early", "late"] {
                    if text == "late" { try await client.send(.text(text)) }
                    #expect(try await client.next() == .text(text))
                }
            }
        }
    }

    @Test(arguments: [
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", "POST / HTTP/1.0\r\n",
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\n",
    ]) func `an answer before the end of the request is the last, and arrives`(_ head: String) async throws {
        // More than sockets hold: the server has answered before the client has sent half of it.
        let length = 32 << 20
        let request = head + "Content-Length: \(length)\r\n\r\n" + String(repeating: "b", count: length)
        let answer = try await withServer(handler: { _, writer in
            try? await writer.start(.payloadTooLarge)
            try? await writer.write(ByteBuffer(string: "too much"))
            try? await writer.finish()
        }) { try await RawClient($0).exchange(request) }
        #expect(answer.contains(" 413 ") && answer.contains("connection: close\r\n") && answer.contains("too much"))
    }

    @Test func `an answer with the end of a line in a field breaks off`() async throws {
        let answer = try await withServer(handler: { _, writer in
            try? await writer.respond(.ok, headers: ["x-name": "a\r\nset-cookie: b"])
        }) { try await RawClient($0).exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n") }
        #expect(answer == "")
    }

    @Test func `a stream to a client of HTTP/1.0 ends with the connection`() async throws {
        let answer = try await ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(answer.hasPrefix("HTTP/1.0 200") && answer.hasSuffix("\r\n\r\nflow"))
        #expect(answer.contains("connection: close\r\n") && !answer.contains("chunked"))
    }
}
