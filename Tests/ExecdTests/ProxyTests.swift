import FoundationEssentials
import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Execd

/// An application of the sandbox: says what it was asked, and what else its paths name.
private struct Application {
    let port: Int

    static func run(_ body: (Application) async throws -> Void) async throws {
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "application")) {
            request, writer in
            try? await writer.send(try await answer(request))
        }
        let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0))
        do { try await body(Application(port: address.port!)) } catch {
            await server.shutdown(grace: .zero)
            throw error
        }
        await server.shutdown(grace: .zero)
    }

    private static func answer(_ request: HTTPRequest) async throws -> Reply {
        switch request.path {
        case "/socket":
            return try .webSocket(request, origins: .any) { socket in
                for try await message in socket.messages { try await socket.send(message) }
            }
        case "/stream":
            return .stream(.ok, headers: ["content-type": "text/event-stream"]) { writer in
                try await writer.write(ByteBuffer(string: "first\n"))
                while !writer.isClosed { try await Task.sleep(for: .milliseconds(10)) }
                streamsEnded.withLock { $0 += 1 }
            }
        case "/empty": return Reply(.notModified, headers: ["etag": "x"])
        case "/length":
            var size = 0
            for try await part in request.body { size += part.readableBytes }
            return .text(.ok, "\(size)")
        default:
            let headers = request.headers.map { "\($0.name.lowercased()): \($0.value)" }.sorted()
            return .text(
                .created, "\(request.method) \(request.target)\n\(headers.joined(separator: "\n"))\n",
                headers: ["set-cookie": "a=1"])
        }
    }

    static let streamsEnded = Mutex(0)
}

@Suite(.serialized) struct ProxyTests {
    @Test func `an application is asked for what the client wrote, byte for byte`() async throws {
        try await Application.run { application async throws in
            try await LiveExecd.run(token: "t") { execd async throws in
                let secrets =
                    "X-EXECD-ACCESS-TOKEN: t\r\nOPEN-SANDBOX-API-KEY: k\r\nOPENSANDBOX-EGRESS-AUTH: e\r\n"
                    + "X-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Host: h\r\nConnection: x-own\r\nX-Own: 1\r\nX-Kept: 1\r\n"
                let answer = try await execd.call(
                    "PUT", "/proxy/\(application.port)/a%2Fb//c?x=%20&y=+", "body", headers: secrets)
                #expect(answer.hasPrefix("HTTP/1.1 201 "), "\(answer)")
                #expect(answer.contains("PUT /a%2Fb//c?x=%20&y=+\n"))
                #expect(answer.contains("\nhost: x\n") && answer.contains("\nx-kept: 1\n"))
                #expect(answer.contains("\nx-forwarded-for: 1.2.3.4\n"))
                #expect(answer.contains("\nx-forwarded-prefix: /proxy/\(application.port)\n"))
                for gone in ["x-execd-access-token", "api-key", "egress-auth", "x-own", "x-forwarded-host"] {
                    #expect(!answer.lowercased().contains("\n\(gone)"), "\(gone)")
                }
                #expect(answer.contains("set-cookie: a=1\r\n"))
                let root = try await execd.call(
                    "GET", "/proxy/\(application.port)?q", headers: "X-EXECD-ACCESS-TOKEN: t\r\n")
                #expect(root.contains("GET /?q\n") && root.contains("\nx-forwarded-for: 127.0.0.1\n"))
            }
        }
    }

    @Test func `who may not ask execd may not ask its applications`() async throws {
        try await LiveExecd.run(token: "t") { execd async throws in
            #expect(try await execd.call("GET", "/proxy/1/").contains("401 "))
        }
        try await Application.run { application async throws in
            try await LiveExecd.run { execd async throws in
                let path = "/proxy/\(application.port)/"
                let foreign = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
                #expect(try await execd.call("GET", path, headers: foreign).contains("403 "))
                // By a name, though it says that it is its own: names can be made to lead here.
                let rebound = "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n"
                #expect(try await execd.call("GET", path, headers: rebound).contains("403 "))
                let own = try await RawClient(execd.address).exchange(
                    "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:9\r\nOrigin: http://127.0.0.1:9\r\n"
                        + "Sec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n")
                #expect(own.contains("201 "), "\(own)")
                let command = try await RawClient(execd.address).exchange(
                    "POST /command HTTP/1.1\r\nHost: 127.0.0.1:9\r\nOrigin: http://127.0.0.1:9\r\n"
                        + "Sec-Fetch-Site: same-origin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                #expect(command.contains("403 "))
            }
        }
    }

    @Test(arguments: [
        "/proxy", "/proxy/", "/proxy//x", "/proxy/0/", "/proxy/65536/", "/proxy/+80/", "/proxy/8x/", "/proxy/999999/",
    ])
    func `what is no port is refused`(path: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.call("GET", path)
            #expect(answer.contains("400 ") && answer.contains(#""code":"INVALID_REQUEST""#), "\(answer)")
        }
    }

    @Test func `a port where nobody listens is told of`() async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.call("GET", "/proxy/1/")
            #expect(answer.contains("502 ") && answer.contains("port 1 of the sandbox"))
        }
    }

    @Test func `bodies pass as they come, both ways`() async throws {
        try await Application.run { application async throws in
            try await LiveExecd.run { execd async throws in
                let text = String(repeating: "x", count: 3 << 20)
                #expect(try await execd.call("POST", "/proxy/\(application.port)/length", text).hasSuffix("\(3 << 20)"))
                let chunked = try await RawClient(execd.address).exchange(
                    "POST /proxy/\(application.port)/length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
                #expect(chunked.hasSuffix("5"))
                let empty = try await execd.call("GET", "/proxy/\(application.port)/empty")
                #expect(empty.contains("304 ") && empty.contains("etag: x\r\n") && !empty.contains("chunked"))
                let head = try await execd.call("HEAD", "/proxy/\(application.port)/length")
                #expect(head.contains("200 ") && head.hasSuffix("\r\n\r\n"))
            }
        }
    }

    @Test func `an event arrives at once, and a client that goes ends the application's stream`() async throws {
        try await Application.run { application async throws in
            try await LiveExecd.run { execd async throws in
                let before = Application.streamsEnded.withLock { $0 }
                let seen = try await RawClient(execd.address).exchange(
                    "GET /proxy/\(application.port)/stream HTTP/1.1\r\nHost: x\r\n\r\n"
                ) { $0.contains("first\n") }
                #expect(seen.contains("text/event-stream"))
                #expect(try await eventually { Application.streamsEnded.withLock { $0 } > before })
            }
        }
    }

    @Test func `a WebSocket passes`() async throws {
        try await Application.run { application async throws in
            try await LiveExecd.run { execd async throws in
                let request = WebSocketClient.handshake("/proxy/\(application.port)/socket")
                let early = WebSocketClient.bytes(.text("early"))
                try await WebSocketClient.with(execd.address, request, early: early) { client, head in
                    #expect(head.contains("101 ") && head.lowercased().contains("sec-websocket-accept:"), "\(head)")
                    #expect(try await client.next() == .text("early"))
                    let large = WebSocketClient.Frame(2, Array(repeating: 7, count: 500_000))
                    try await client.send(large)
                    #expect(try await client.next() == large)
                    try await client.send(.close(1000))
                    #expect(try await client.next()?.closeCode == 1000)
                }
            }
        }
    }

    @Test func `a tunnel ends with execd`() async throws {
        try await Application.run { application async throws in
            try await LiveExecd.run { execd async throws in
                let request = WebSocketClient.handshake("/proxy/\(application.port)/socket")
                try await WebSocketClient.with(execd.address, request) { client, head in
                    #expect(head.contains("101 "))
                    await execd.service.end()
                    let last = try? await client.next()
                    #expect(last == nil)
                }
            }
        }
    }
}
