import FoundationEssentials
import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import TestSupport
import Testing

@Suite struct ServerProxyTests {
    private func ask(
        _ request: String, response: String = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok",
        prepare: @Sendable (TestDirectory, ScriptedBackend) -> Void = { $0.set("s", 80, at: $1.address) }
    ) async throws -> (answer: String, backend: String) {
        let backend = try await ScriptedBackend { received, _ in
            received.contains("\r\n\r\n") ? .init(bytes: response) : nil
        }
        let directory = TestDirectory()
        prepare(directory, backend)
        let answer = try await withServerProxy(directory) { try await RawClient($0).exchange(request) }
        await backend.close()
        return (answer, backend.received)
    }

    /// A server that answers `first`, and `last` when it is released.
    private func pausingServer() async throws -> (HTTPServer, TestDirectory, release: AsyncStream<Void>.Continuation) {
        let (go, release) = AsyncStream<Void>.makeStream()
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "t")) { _, writer in
            try? await writer.start(.ok)
            try? await writer.write(ByteBuffer(string: "first"))
            for await _ in go { break }
            try? await writer.write(ByteBuffer(string: "last"))
            try? await writer.finish()
        }
        let directory = TestDirectory()
        directory.set("s", at: try await server.start(on: .tcp(host: "127.0.0.1", port: 0)))
        return (server, directory, release)
    }

    @Test(arguments: ["", "/v1"])
    func `a request is relayed as the contract says`(prefix: String) async throws {
        let (answer, seen) = try await ask(
            get(
                "\(prefix)/sandboxes/s/proxy/80/a%2Fb/?q=%20+&q", "Authorization: a", "Cookie: c",
                "OPEN-SANDBOX-API-KEY: k", "OpenSandbox-Secure-Access: x", "X-Forwarded-For: 1.2.3.4", "X-Real-IP: 1",
                "OPENSANDBOX-EGRESS-AUTH: own", "Accept: */*", "X-Request-ID: r-1")
        ) { directory, backend in
            directory.set(
                "s", at: backend.address,
                headers: [.init("X-Endpoint", "e"), .init("OPENSANDBOX-EGRESS-AUTH", "secret")])
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\nok"))
        #expect(!answer.contains("Server:") && answer.contains("x-request-id: r-1\r\n"))
        let lines = seen.replacing("<end>", with: "").split(separator: "\r\n").map { $0.lowercased() }
        #expect(lines.first == "get /a%2fb/?q=%20+&q http/1.1")
        #expect(
            Set(lines.dropFirst().map { $0.prefix { $0 != ":" } }) == [
                "host", "opensandbox-egress-auth", "accept", "x-request-id", "x-forwarded-proto", "x-forwarded-host",
                "x-forwarded-for", "x-endpoint",
            ])
        #expect(lines.contains("opensandbox-egress-auth: own") && lines.contains("x-forwarded-for: 127.0.0.1"))
    }

    @Test(arguments: [
        ("GET", "/sandboxes/s/proxy/80/a/../b", "400", "INVALID_PATH"),
        ("GET", "/sandboxes/s/proxy/80/%2e%2E/b", "400", "INVALID_PATH"),
        ("HEAD", "/sandboxes/nobody/proxy/80/", "404", ""),
        ("CONNECT", "/sandboxes/s/proxy/80/", "400", "MALFORMED_REQUEST"),
        ("GET", "/v1/sandboxes/s/proxy/0/", "400", "TEST::INVALID_PORT"),
        ("GET", "/v1/sandboxes/s/proxy/65536", "400", "TEST::INVALID_PORT"),
        ("GET", "/v1/sandboxes/s/proxy/80x", "404", "NOT_FOUND"),
        ("GET", "/v1//sandboxes/s/proxy/80", "404", "NOT_FOUND"),
        ("GET", "/v1/sandboxes/s/pro%78y/80/", "404", "NOT_FOUND"),
        ("GET", "/v1/sandboxes/nobody/proxy/80", "404", "TEST::SANDBOX_NOT_FOUND"),
        ("GET", "/v1/sandboxes/a%20b/proxy/80", "404", "TEST::SANDBOX_NOT_FOUND"),
        ("GET", "/v1/sandboxes/s/proxy/81", "502", "BACKEND_CONNECTION_FAILED"),
        ("GET", "/v1/sandboxes/safe/proxy/80", "401", "MISSING_OR_INVALID_SECURE_ACCESS"),
    ])
    func `what cannot be relayed is refused with its code`(method: String, path: String, status: String, code: String)
        async throws
    {
        let (answer, seen) = try await ask("\(method) \(path) HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") {
            directory, backend in
            directory.set("s", at: backend.address)
            directory.set("s", 81, at: try! SocketAddress(ipAddress: "127.0.0.1", port: 1))
            directory.set("safe", at: backend.address, credentialHash: EndpointCredential.hash("c"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains(code) && answer.contains("x-request-id: "))
        #expect(seen.isEmpty)
    }

    @Test(arguments: ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "FROB"])
    func `any method is relayed, and the connection goes on behind it`(method: String) async throws {
        let body = method == "HEAD" ? "" : "2\r\nok\r\n0\r\n\r\n"
        let backend = try await ScriptedBackend { received, _ in
            guard received.hasSuffix("\r\n\r\n") else { return nil }
            return .init(bytes: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Seen: yes\r\n\r\n\(body)")
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let request = "\(method) /sandboxes/s/proxy/80/x HTTP/1.1\r\nHost: h\r\nOrigin: http://page.example\r\n"
        let answer = try await withServerProxy(directory) {
            try await RawClient($0).exchange(
                "\(request)\r\n\(request)Connection: close\r\n\r\n")
        }
        let parts = answer.components(separatedBy: "HTTP/1.1 200 OK\r\n")
        #expect(parts.count == 3 && parts.dropFirst().allSatisfy { $0.contains("X-Seen: yes") }, "\(answer)")
        #expect(method != "HEAD" || answer.components(separatedBy: "\r\n\r\n").allSatisfy { $0 != "0" })
        #expect(backend.received.hasPrefix("\(method) /x HTTP/1.1\r\n"))
        await backend.close()
    }

    @Test func `a dropped response and a late one have their codes`() async throws {
        #expect(
            try await ask(get("/sandboxes/s/proxy/80"), response: "nonsense\r\n\r\n").answer.contains(
                "BACKEND_RESPONSE_FAILED"))
        var limits = ProxyLimits()
        limits.responseTimeout = .milliseconds(30)
        let silent = try await ScriptedBackend { _, _ in nil }
        let directory = TestDirectory()
        directory.set("s", at: silent.address)
        let late = try await withServerProxy(directory, limits: limits) {
            try await RawClient($0).exchange(get("/sandboxes/s/proxy/80"))
        }
        #expect(late.hasPrefix("HTTP/1.1 504 ") && late.contains("BACKEND_TIMEOUT"))
        await silent.close()
    }

    @Test(arguments: [
        ("/x?y", "/v1/sandboxes/s/proxy/80/x?y"), ("//host/x", "//host/x"), ("http://h/x", "http://h/x"), ("x", "x"),
    ])
    func `a redirect stays inside the proxy`(sent: String, expected: String) async throws {
        let (answer, _) = try await ask(
            get("/v1/sandboxes/s/proxy/80/a"),
            response: "HTTP/1.1 302 Found\r\nLocation: \(sent)\r\nContent-Length: 0\r\n\r\n")
        #expect(answer.lowercased().contains("\r\nlocation: \(expected)\r\n"))
    }

    @Test func `other requests pass untouched, on the same connection too`() async throws {
        let backend = try await ScriptedBackend.answering("proxied")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let answer = try await withServerProxy(directory) {
            try await RawClient($0).exchange(
                "POST /v1/sandboxes?x=/proxy/80 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /sandboxes/s/proxy/80/x HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS /sandboxes/s/proxy/80 HTTP/1.1\r\nHost: h\r\nOrigin: o\r\n\r\nGET /sandboxes/s/proxy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
        }
        let bodies = answer.split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "\r\n" } }
        #expect(answer.contains("\r\n\r\nbehind POST /v1/sandboxes?x=/proxy/80 hiHTTP/1.1 200"), "\(bodies)")
        #expect(answer.contains("\r\n\r\nproxiedHTTP/1.1 200"))
        #expect(answer.components(separatedBy: "\r\n\r\nproxiedHTTP/1.1 200").count == 3)
        #expect(answer.hasSuffix("\r\n\r\nbehind GET /sandboxes/s/proxy "))
    }

    @Test func `the listener's idle time does not cut a response that takes longer`() async throws {
        let (server, directory, release) = try await pausingServer()
        // Longer than a request may take to be sent while two hundred tests begin.
        let answer = try await withServerProxy(directory, idleTimeout: .seconds(5)) { address in
            try await RawClient(address).exchange("GET /sandboxes/s/proxy/80 HTTP/1.1\r\nHost: h\r\n\r\n") { received in
                if received.contains("first") && !received.contains("last") {
                    // A connection that came later is closed by the idle time: this one's has passed too.
                    Task {
                        _ = try? await RawClient(address).exchange("GET / HTTP/1.1\r\nHo")
                        release.yield()
                    }
                }
                return received.hasSuffix("\r\n0\r\n\r\n")
            }
        }
        #expect(answer.contains("last"))
        await server.shutdown(grace: .zero)
    }

    @Test func `a WebSocket is relayed, and a request that only names one is refused`() async throws {
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withServerProxy(directory, idleTimeout: .seconds(75)) { address in
            let start = "GET /v1/sandboxes/s/proxy/80/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n"
            let answer = try await DialogueClient(address).run([
                (start + "Connection: Upgrade\r\n\r\n", "welcome"), ("one", "[one]"), ("two", "[two]"),
            ])
            #expect(answer.hasPrefix("HTTP/1.1 101 ") && answer.contains("x-request-id: "))
            let refused = try await RawClient(address).exchange(start + "Connection: close\r\n\r\n")
            #expect(refused.hasPrefix("HTTP/1.1 400 "))
        }
        #expect(try await eventually { backend.ended == 1 })
        await backend.close()
    }

    @Test(arguments: [
        ("s", "BACKEND_UPGRADE_REFUSED"), ("safe", "MISSING_OR_INVALID_SECURE_ACCESS"),
        ("gone", "BACKEND_CONNECTION_FAILED"),
    ])
    func `a WebSocket that cannot be opened is closed with a code`(id: String, reason: String) async throws {
        let (answer, _) = try await ask(
            "GET /sandboxes/\(id)/proxy/80 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ) { directory, backend in
            directory.set("s", at: backend.address)
            directory.set("gone", at: try! SocketAddress(ipAddress: "127.0.0.1", port: 1))
            directory.set("safe", at: backend.address, credentialHash: EndpointCredential.hash("c"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 101 "))
        #expect(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(answer.hasSuffix(reason))
    }

    @Test func `ambiguous requests are refused here too`() async throws {
        let backend = try await ScriptedBackend.answering("no")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        try await withServerProxy(directory) { address in
            for (why, request) in SmugglingTests.refused where request.contains("OpenSandbox-Ingress-To: s-80\r\n") {
                let rest = request.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
                guard rest.count == 3, rest[1] == "/", !why.contains("route") else { continue }
                let answer = try await RawClient(address).exchange("\(rest[0]) /sandboxes/s/proxy/80/ \(rest[2])")
                #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.0 400 "), "\(why): \(answer)")
                #expect(!backend.received.contains("HTTP/1.1"), "\(why)")
            }
        }
        await backend.close()
    }

    @Test func `shutting down lets a proxied response finish`() async throws {
        let (server, directory, release) = try await pausingServer()
        let (started, note) = AsyncStream<Void>.makeStream()
        let answer = try await withServerProxy(directory) { address in
            let answer = Task {
                try await RawClient(address).exchange("GET /sandboxes/s/proxy/80 HTTP/1.1\r\nHost: h\r\n\r\n") {
                    received in
                    if received.contains("first") { note.yield() }
                    return received.contains("last")
                }
            }
            for await _ in started { break }
            Task {
                try await Task.sleep(for: .milliseconds(100))
                release.yield()
            }
            return answer
        }
        #expect(try await answer.value.contains("last"))
        await server.shutdown(grace: .zero)
    }
}
