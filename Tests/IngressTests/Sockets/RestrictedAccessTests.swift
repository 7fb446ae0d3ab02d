import Foundation
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import TestSupport
import Testing

/// One-time and scoped routes, cookies, and what the sandbox is told, through a gateway.
@Suite struct RestrictedAccessTests {
    private static let future: UInt64 = 4_000_000_000
    private static let epoch = AccessEpoch(birth: 7)
    private let credential = EndpointCredential.generate()

    private func token(_ scope: RouteScope) -> RouteToken {
        .mint(sandbox: "safe", port: 80, expires: Self.future, epoch: Self.epoch, scope: scope, keys: testKeys)
    }

    /// A gateway before one sandbox with a credential and one without, and what has come to them.
    private func run(
        _ mode: RouteMode = .header(), _ set: (inout GatewayConfiguration) throws -> Void = { _ in },
        answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nin",
        _ body: (SocketAddress, ScriptedBackend, TestDirectory) async throws -> Void
    ) async throws {
        let backend = try await ScriptedBackend { received, _ in
            received.hasSuffix("\r\n\r\n") || received.hasSuffix("body") ? .init(bytes: answer) : nil
        }
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash, epoch: Self.epoch)
        directory.set("open", at: backend.address)
        var configuration = GatewayConfiguration(mode: mode, keys: LiveKeys(testKeys))
        (configuration.host, configuration.port) = ("127.0.0.1", 0)
        try set(&configuration)
        let gateway = Gateway(
            configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test"))
        let address = try await gateway.start()
        do { try await body(address, backend, directory) } catch {
            await gateway.shutdown(grace: .zero)
            throw error
        }
        await gateway.shutdown(grace: .zero)
        await backend.close()
    }

    private func ask(_ address: SocketAddress, _ request: String) async throws -> String {
        try await RawClient(address).exchange(request)
    }

    private func status(_ address: SocketAddress, _ request: String) async throws -> String {
        String(try await ask(address, request).prefix(12).suffix(3))
    }

    private func to(_ token: RouteToken, _ method: String = "GET", _ path: String = "/", _ fields: String = "")
        -> String
    {
        "\(method) \(path) HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: \(token.text)\r\n\(fields)Connection: close\r\n\r\n"
    }

    // MARK: one use

    @Test func `a one-time route opens once, also where the gateway has started anew since`() async throws {
        let path = "/tmp/spt-once-\(UInt32.random(in: 0 ... .max))"
        defer { for end in ["", ".lock", ".new"] { try? FileManager.default.removeItem(atPath: path + end) } }
        let once = token(try RouteScope(once: true)), other = token(try RouteScope(once: true))
        try await run(.header()) {
            $0.spentTokens = try SpentTokens(path: path, now: 1)
        } _: { address, backend, directory async throws in
            // What does not reach the sandbox does not use it up.
            #expect(try await status(address, to(once, "GET", "/", "OpenSandbox-Secure-Access: wrong\r\n")) == "401")
            #expect(backend.received.isEmpty)
            async let answers = [status(address, to(once)), status(address, to(once)), status(address, to(once))]
            #expect(try await answers.sorted() == ["200", "401", "401"])
            #expect(try await status(address, to(other)) == "200")
            #expect(directory.accesses.count == 2)
        }
        // A connection of the first gateway may let go of the file a moment after it.
        let isFree = try await eventually { (try? SpentTokens(path: path, now: 1)) != nil }
        try #require(isFree)
        try await run(.header()) {
            $0.spentTokens = try SpentTokens(path: path, now: 1)
        } _: { address, backend, _ async throws in
            #expect(try await status(address, to(once)) == "401")
            #expect(backend.received.isEmpty)
        }
    }

    @Test func `without a file to remember them in, one-time routes open nothing`() async throws {
        let once = token(try RouteScope(once: true))
        try await run { address, backend, _ async throws in
            #expect(try await status(address, to(once)) == "401")
            #expect(backend.received.isEmpty)
        }
    }

    // MARK: methods and paths

    @Test func `a scoped route opens what it is for, in a header and in a path`() async throws {
        let scoped = token(try RouteScope(methods: .init("GET,PUT"), path: "/a"))
        let cases = [
            ("GET", "/a", "200"), ("GET", "/a/b?x=1", "200"), ("PUT", "/a/b", "200"), ("HEAD", "/a", "200"),
            ("POST", "/a", "401"), ("DELETE", "/a/b", "401"), ("GET", "/", "401"), ("GET", "/ab", "401"),
            ("GET", "/a/../b", "401"), ("GET", "/a/%2e%2e/b", "401"), ("GET", "/b?/a", "401"),
        ]
        try await run { address, _, _ async throws in
            for (method, path, expected) in cases {
                #expect(try await status(address, to(scoped, method, path)) == expected, "\(method) \(path)")
            }
            for field in ["X-HTTP-Method-Override: DELETE\r\n", "x-http-method: POST\r\n"] {
                #expect(try await status(address, to(scoped, "GET", "/a", field)) == "401")
            }
            let upgrade = to(scoped, "GET", "/a").replacing(
                "Connection: close", with: "Connection: Upgrade\r\nUpgrade: websocket")
            #expect(try await status(address, upgrade) == "401")
        }
        try await run(.uri) { address, backend, _ async throws in
            for (method, path, expected) in cases {
                let request = "\(method) \(scoped.pathPrefix)\(path) HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
                #expect(try await status(address, request) == expected, "\(method) \(path)")
            }
            #expect(backend.received.contains("GET /a/b?x=1 HTTP/1.1\r\n"))
        }
    }

    @Test func `misuse of a genuine route is not counted as guessing`() async throws {
        let scoped = token(try RouteScope(methods: .init("PUT")))
        try await run {
            $0.failures.clientBurst = 1
        } _: { address, _, _ async throws in
            for _ in 0..<5 { #expect(try await status(address, to(scoped)) == "401") }
        }
    }

    // MARK: identity

    @Test func `the sandbox is told what opened it, and no client can say so in its place`() async throws {
        let labelled = token(try RouteScope(label: "ci")),
            forged =
                "OpenSandbox-Access-Identity: kind=admin\r\n"
                + "opensandbox_access_identity: kind=admin\r\n"
        try await run { address, backend, _ async throws in
            _ = try await ask(address, to(labelled, "GET", "/token", forged))
            #expect(
                backend.received.contains(
                    "OpenSandbox-Access-Identity: kind=token, version=2, key=\"\(testKeys.active)\", label=\"ci\", client=\"127.0.0.1\"\r\n"
                ))
            _ = try await ask(
                address,
                get(
                    "/credential", "OpenSandbox-Ingress-To: safe-80\r\nOpenSandbox-Secure-Access: \(credential.plain)"))
            #expect(backend.received.contains("kind=credential, client=\"127.0.0.1\"\r\n"))
            _ = try await ask(address, get("/open", "OpenSandbox-Ingress-To: open-80\r\n" + forged.dropLast(2)))
            #expect(backend.received.contains("kind=open, client=\"127.0.0.1\"\r\n"))
            #expect(!backend.received.contains("admin") && !backend.received.contains(labelled.signature))
        }
        try await run {
            $0.tellsIdentity = false
        } _: { address, backend, _ async throws in
            _ = try await ask(address, to(labelled, "GET", "/", forged))
            #expect(backend.received.contains("GET / ") && !backend.received.lowercased().contains("access-identity"))
        }
    }

    @Test func `behind a trusted proxy the client is whom it names, and nobody else's word counts`() async throws {
        let field = "OpenSandbox-Ingress-To: open-80\r\nX-Forwarded-For: 198.51.100.7"
        try await run {
            $0.trustedProxies = TrustedProxies(["127.0.0.0/8"])!
        } _: { address, backend, _ async throws in
            _ = try await ask(address, get("/", field))
            #expect(backend.received.contains("client=\"198.51.100.7\""))
            #expect(backend.received.contains("x-forwarded-for: 198.51.100.7\r\n"))
        }
        try await run { address, backend, _ async throws in
            _ = try await ask(address, get("/", field))
            #expect(backend.received.contains("client=\"127.0.0.1\"") && !backend.received.contains("198.51.100.7"))
        }
    }

    // MARK: cookies

    private func page(_ prefix: String, _ path: String, _ fields: String...) -> String {
        let lines =
            ["GET \(prefix)\(path) HTTP/1.1", "Host: h", "Accept: text/html"] + fields + ["Connection: close", "", ""]
        return lines.joined(separator: "\r\n")
    }

    private func cookie(_ answer: String) -> String? {
        answer.split(separator: "\r\n").first { $0.lowercased().hasPrefix("set-cookie: ") }
            .map { String($0.dropFirst(12).prefix { $0 != ";" }) }
    }

    @Test func `a page that was opened by a signed path loads the rest by a cookie, which stays here`() async throws {
        let signed = token(try RouteScope())
        try await run(.uri) {
            $0.cookies = true
        } _: { address, backend, _ async throws in
            let answer = try await ask(address, page(signed.pathPrefix, "/page"))
            let field = try #require(cookie(answer))
            #expect(answer.contains("; Path=/safe/80; Max-Age=") && answer.contains("; HttpOnly; SameSite=Lax\r\n"))
            #expect(!answer.contains("Secure\r\n"))
            let own = "Cookie: mine=1; \(field)"
            #expect(try await status(address, page("/safe/80", "/app.js", own)) == "200")
            #expect(
                backend.received.contains("GET /app.js HTTP/1.1\r\n") && backend.received.contains("Cookie: mine=1\r\n")
            )
            #expect(backend.received.contains("kind=cookie, version=2"))
            #expect(!backend.received.contains("opensandbox-access="))
            // Of no other sandbox or port, from no other page, and not when it is changed.
            #expect(try await status(address, page("/safe/80", "/app.js")) == "401")
            #expect(try await status(address, page("/safe/80", "/", own, "Origin: http://evil")) == "401")
            #expect(try await status(address, page("/safe/80", "/", own, "Origin: http://h")) == "200")
            #expect(try await status(address, page("/safe/80", "/", own, "Sec-Fetch-Site: same-site")) == "401")
            #expect(try await status(address, page("/safe/80", "/", own.replacing("=4", with: "=5") + "x")) == "401")
            let post = page("/safe/80", "/", own).replacing("GET", with: "POST")
            #expect(try await status(address, post) == "401")
            let socket = page("/safe/80", "/ws", own, "Upgrade: websocket").replacing(
                "Connection: close", with: "Connection: Upgrade")
            #expect(try await status(address, socket) == "401")
            // A wrong credential is not made good by a cookie.
            #expect(try await status(address, page("/safe/80", "/", own, "OpenSandbox-Secure-Access: wrong")) == "401")
        }
    }

    @Test func `a WebSocket of the page's own origin opens by the cookie`() async throws {
        let signed = token(try RouteScope())
        let backend = try await webSocketBackend()
        let directory = TestDirectory()
        directory.set("safe", at: backend.address, credentialHash: credential.hash, epoch: Self.epoch)
        var configuration = GatewayConfiguration(mode: .uri, keys: LiveKeys(testKeys))
        (configuration.host, configuration.port, configuration.cookies) = ("127.0.0.1", 0, true)
        let gateway = Gateway(
            configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test"))
        let address = try await gateway.start()
        let value = signed.cookie(epoch: Self.epoch, keys: testKeys).cookieText
        func socket(_ origin: String) -> String {
            "GET /safe/80/ws HTTP/1.1\r\nHost: h\r\nOrigin: \(origin)\r\nCookie: opensandbox-access=\(value)\r\n"
                + "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        }
        let text = try await DialogueClient(address).run([(socket("http://h"), "welcome"), ("one", "[one]")])
        #expect(text.hasSuffix("[one]"))
        #expect(try await ask(address, socket("http://evil")).hasPrefix("HTTP/1.1 401 "))
        await gateway.shutdown(grace: .zero)
        await backend.close()
    }

    @Test func `a cookie has the scope of its route, but for the one use, and ends with the epoch`() async throws {
        let path = "/tmp/spt-once-\(UInt32.random(in: 0 ... .max))"
        defer { for end in ["", ".lock", ".new"] { try? FileManager.default.removeItem(atPath: path + end) } }
        let signed = token(try RouteScope(once: true, path: "/a"))
        try await run(.uri) {
            $0.cookies = true
            $0.spentTokens = try SpentTokens(path: path, now: 1)
        } _: { address, backend, directory async throws in
            let field = try #require(cookie(try await ask(address, page(signed.pathPrefix, "/a"))))
            #expect(try await status(address, page(signed.pathPrefix, "/a")) == "401")
            for _ in 0..<2 { #expect(try await status(address, page("/safe/80", "/a/b", "Cookie: \(field)")) == "200") }
            #expect(try await status(address, page("/safe/80", "/b", "Cookie: \(field)")) == "401")
            directory.set(
                "safe", at: backend.address, credentialHash: credential.hash,
                epoch: AccessEpoch(birth: 7, revocations: 1))
            #expect(try await status(address, page("/safe/80", "/a/b", "Cookie: \(field)")) == "401")
        }
    }

    @Test func `no cookie where it is off, for programs, or from a sandbox`() async throws {
        let signed = token(try RouteScope())
        let program = "GET \(signed.pathPrefix)/ HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        let setting =
            "HTTP/1.1 200 OK\r\nSet-Cookie: opensandbox-access=x\r\nSet-Cookie: own=1\r\nContent-Length: 2\r\n\r\nin"
        try await run(.uri, answer: setting) { address, _, _ async throws in
            let answer = try await ask(address, page(signed.pathPrefix, "/"))
            #expect(cookie(answer) == "own=1" && !answer.contains("opensandbox-access"))
            let value = signed.cookie(epoch: Self.epoch, keys: testKeys).cookieText
            #expect(try await status(address, page("/safe/80", "/", "Cookie: opensandbox-access=\(value)")) == "401")
        }
        try await run(.uri) {
            $0.cookies = true
        } _: { address, _, _ async throws in
            #expect(cookie(try await ask(address, program)) == nil)
        }
        try await run(.uri) {
            $0.cookies = true
            $0.trustedProxies = TrustedProxies(["127.0.0.1"])!
        } _: { address, backend, _ async throws in
            let answer = try await ask(address, page(signed.pathPrefix, "/", "X-Forwarded-Proto: https"))
            #expect(answer.contains("SameSite=Lax; Secure\r\n"))
            #expect(backend.received.contains("x-forwarded-proto: https\r\n"))
        }
    }

    // MARK: limits

    @Test func `past its rate a client is 429 with the time to wait, whatever it asks for`() async throws {
        try await run {
            ($0.traffic.clientRate, $0.traffic.clientBurst) = (1, 2)
        } _: { address, _, _ async throws in
            // In one piece, so that no time passes between them.
            let labels = ["open-80", "nobody-80", "open-80", "nobody-80", "open-80", "open-80"]
            let requests = labels.map { "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: \($0)\r\n" }
            let text = try await ask(
                address, requests.joined(separator: "\r\n") + "Connection: close\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 ") && text.contains("HTTP/1.1 401 "))
            #expect(text.contains("HTTP/1.1 429 ") && text.contains("RATE_LIMITED"))
            #expect(text.lowercased().contains("\r\nretry-after: 1\r\n"))
        }
    }

    @Test func `who may not enter does not use up what a route allows`() async throws {
        try await run {
            ($0.traffic.routeRate, $0.traffic.routeBurst) = (1, 1)
        } _: { address, _, _ async throws in
            for _ in 0..<3 { #expect(try await status(address, get("/", "OpenSandbox-Ingress-To: safe-80")) == "401") }
            let right = get("/", "OpenSandbox-Ingress-To: safe-80\r\nOpenSandbox-Secure-Access: \(credential.plain)")
            #expect(try await status(address, right) == "200")
        }
    }

    @Test func `so many exchanges a sandbox has at once, and one that ends makes room`() async throws {
        // The answer stays incomplete: the exchange goes on.
        let partial = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nin"
        let request = "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: open-80\r\n\r\n"
        try await run(.header(), { $0.traffic.sandboxConcurrency = 1 }, answer: partial) { address, _, _ async throws in
            _ = try await DialogueClient(address).run([(request, "\r\n\r\nin")]) { () async throws in
                #expect(try await status(address, get("/", "OpenSandbox-Ingress-To: open-80")) == "429")
            }
            #expect(try await eventually { try await open(address, "open-80") == "200" })
        }
    }

    /// The status of a request whose answer stays incomplete.
    private func open(_ address: SocketAddress, _ label: String) async throws -> String {
        let text = try await RawClient(address).exchange(get("/", "OpenSandbox-Ingress-To: " + label)) {
            $0.hasSuffix("in")
        }
        return String(text.prefix(12).suffix(3))
    }

    @Test func `a body beyond the limit is 413, whether it says so or not`() async throws {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: open-80\r\n"
        try await run {
            $0.traffic.maxBody = 4
        } _: { address, backend, _ async throws in
            #expect(try await status(address, head + "Content-Length: 5\r\n\r\nxbody") == "413")
            #expect(backend.received.isEmpty)
            #expect(try await status(address, head + "Content-Length: 4\r\nConnection: close\r\n\r\nbody") == "200")
            #expect(
                try await status(address, head + "Transfer-Encoding: chunked\r\n\r\n5\r\nxbody\r\n0\r\n\r\n") == "413")
        }
    }
}
