import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import Testing

@Suite struct WebSocketHandshakeTests {
    private static let right: HTTPHeaders = [
        "Host": "a.example:8080", "Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ]

    private func answer(
        _ change: (inout HTTPHeaders) -> Void = { _ in }, _ method: HTTPMethod = .GET,
        _ version: HTTPVersion = .http1_1,
        origins: WebSocketOrigins = .sameHost
    ) async -> (status: UInt, headers: HTTPHeaders) {
        var api = HTTPAPI(
            .decoded, logger: Logger(label: "test"),
            render: { error, _ in .empty((error as? WebSocketHandshakeError)?.status ?? .internalServerError) })
        api.on(nil, "/ws") { try .webSocket($0, origins: origins) { _ in } }
        var headers = Self.right
        change(&headers)
        let reply = await api.reply(
            to: HTTPRequest(method: method, target: "/ws", version: version, headers: headers))
        return (reply.status.code, reply.headers)
    }

    @Test func `a handshake as RFC 6455 wants it is taken`() async {
        #expect(await answer().status == 101)
        #expect(await answer { $0.replaceOrAdd(name: "content-length", value: "0") }.status == 101)
    }

    @Test func `what asks for no WebSocket is told how to`() async {
        for answer in [
            await answer { $0.remove(name: "upgrade") }, await answer { $0.remove(name: "connection") },
            await answer { $0.replaceOrAdd(name: "upgrade", value: "h2c") }, await answer({ _ in }, .POST),
            await answer({ _ in }, .GET, .http1_0),
        ] {
            #expect(answer.status == 426 && answer.headers["upgrade"] == ["websocket"])
        }
    }

    @Test func `another version is told which one is spoken`() async {
        for version in ["12", "013", "13, 8", ""] {
            let (status, headers) = await answer { $0.replaceOrAdd(name: "sec-websocket-version", value: version) }
            #expect(status == 426 && headers["sec-websocket-version"] == ["13"], "\(version)")
        }
        #expect(await answer { $0.add(name: "sec-websocket-version", value: "13") }.status == 426)
    }

    @Test func `a key that is no nonce, or two, or a body are refused`() async {
        for key in [
            "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j ZQ=", "dGhlIHNhbXBsZSBub25jZQ==x",
            "=======================é",
        ] {
            #expect(await answer { $0.replaceOrAdd(name: "sec-websocket-key", value: key) }.status == 400, "\(key)")
        }
        #expect(await answer { $0.add(name: "sec-websocket-key", value: "dGhlIHNhbXBsZSBub25jZQ==") }.status == 400)
        #expect(await answer { $0.add(name: "content-length", value: "1") }.status == 400)
        #expect(await answer { $0.add(name: "transfer-encoding", value: "chunked") }.status == 400)
    }

    @Test func `pages of other hosts may not, unless the route lets them`() async {
        func from(_ origins: [String], _ rule: WebSocketOrigins = .sameHost) async -> UInt {
            await answer(
                { headers in for origin in origins { headers.add(name: "origin", value: origin) } }, origins: rule
            ).status
        }
        #expect(await from(["https://A.example:8080"]) == 101)
        for others in [
            ["https://a.example"], ["null"], ["https://evil.example"], [""], ["https://evil.example/://a.example:8080"],
            ["https://a.example:8080", "https://evil.example"], ["https://a.example:8080.evil.example"],
        ] {
            #expect(await from(others) == 403, "\(others)")
        }
        #expect(await from(["https://evil.example"], .any) == 101)
        #expect(await from(["https://console.example"], .listed(["https://console.example"])) == 101)
        #expect(await from(["https://a.example:8080"], .listed(["https://console.example"])) == 403)
    }
}
