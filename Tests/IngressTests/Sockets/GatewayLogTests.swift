import HTTPServer
import Ingress
import Logging
import NIOCore
import SecureAccess
import TestSupport
import Testing

/// What the access log says of requests through gateway and server proxy.
@Suite struct GatewayLogTests {
    private let credential = EndpointCredential.generate(), lines = RecordedLines()

    private func run(
        _ mode: AccessLogMode, route: RouteMode = .header(), status: String = "200 OK", keys: KeyRing? = nil,
        _ requests: [String]
    ) async throws -> (answers: [String], received: String) {
        let backend = try await ScriptedBackend { _, _ in
            .init(bytes: "HTTP/1.1 \(status)\r\nContent-Length: 2\r\n\r\nok")
        }
        let directory = TestDirectory()
        directory.set("open", at: backend.address)
        directory.set("safe", at: backend.address, credentialHash: credential.hash)
        directory.set("asleep", to: .notReady("paused"))
        let answers = try await withGateway(
            directory, mode: route, keys: keys, accessLog: mode, logger: lines.logger(.critical)
        ) { address in
            var answers: [String] = []
            for request in requests { answers.append(try await RawClient(address).exchange(request)) }
            return answers
        }
        let received = backend.received
        await backend.close()
        return (answers, received)
    }

    private func get(_ label: String, _ fields: String..., path: String = "/") -> String {
        (["GET \(path) HTTP/1.1", "Host: h", "OpenSandbox-Ingress-To: \(label)", "Connection: close"] + fields
            + ["", ""]).joined(separator: "\r\n")
    }

    @Test func `every request has a line with what it was, and its id goes on to the sandbox`() async throws {
        let post =
            "POST / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: open-80\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
        let (_, received) = try await run(.all, [get("open-80", "X-Request-ID: mine"), post])
        let all = lines.all
        try #require(all.count == 2)
        #expect(all[0]["request"] == "mine" && all[0]["method"] == "GET" && all[0]["route"] == "header")
        #expect(all[0]["sandbox"] == "open" && all[0]["port"] == "80" && all[0]["status"] == "200")
        #expect(all[0]["code"] == nil && all[0]["bytesIn"] == "0" && all[0]["bytesOut"] == "2")
        #expect(all[1]["bytesIn"] == "5")
        let made = try #require(all[1]["request"])
        #expect(made.utf8.count == 32 && received.contains("x-request-id: \(made)"))
    }

    @Test func `errors are what is answered in a sandbox's place, and what the sandbox calls its own`() async throws {
        let (answers, _) = try await run(
            .errors,
            [
                get("open-80"), get("safe-80", "X-Request-ID: mine"), get("nobody-80"), get("asleep-80"),
                "G(T / HTTP/1.1\r\n\r\n", "GET /status.ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            ])
        let all = lines.all
        #expect(
            all.map { $0["code"] } == [
                "MISSING_OR_INVALID_SECURE_ACCESS", "SANDBOX_NOT_FOUND", "SANDBOX_NOT_READY", "MALFORMED_REQUEST",
            ])
        #expect(all[0]["request"] == "mine" && all[0]["sandbox"] == "safe" && all[3]["method"] == "unread")
        // What a client says of no sandbox is its own text.
        #expect(all[1]["sandbox"] == nil && !"\(all)".contains("nobody"))
        #expect(answers[1].contains("x-request-id: mine"))
        #expect(answers[2].contains("x-request-id: \(all[1]["request"] ?? "none")"), "the client can name the line")
        #expect(!answers[0].lowercased().contains("x-request-id"))
    }

    @Test func `an error of the sandbox is one`() async throws {
        _ = try await run(.errors, status: "503 No", [get("open-80", "X-Request-ID: mine")])
        _ = try await run(.errors, status: "404 No", [get("open-80")])
        #expect(lines.all.map { $0["status"] } == ["503"] && lines.all[0]["request"] == "mine")
        #expect(lines.all[0]["code"] == nil)
    }

    @Test func `an error inside has one id in the gateway's line and in the sandbox, whoever named it`() async throws {
        let (_, received) = try await run(.errors, status: "503 No", [get("open-80")])
        let id = try #require(lines.all.first?["request"])
        #expect(id.utf8.count == 32 && received.contains("x-request-id: \(id)"))
    }

    @Test(arguments: [RouteMode.header(), .uri, .wildcard(domain: "d")]) func `no line has a secret`(
        mode: RouteMode
    ) async throws {
        let token = RouteToken.mint(sandbox: "safe", port: 80, expires: 4_000_000_000, keys: testKeys)
        let signature = try #require(token.text.split(separator: "-").last.map(String.init))
        let label = token.text
        let requests: [String] =
            switch mode {
            case .header:
                [
                    get(label, path: "/secret?secret"), get(String(label.dropLast()) + "x"),
                    get("safe-80", "OpenSandbox-Secure-Access: \(credential.plain)", "Cookie: secret=secret"),
                ]
            case .uri:
                [
                    "GET \(token.pathPrefix)/secret?secret HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                    "GET \(token.pathPrefix.dropLast())x/secret HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                ]
            case .wildcard:
                ["GET /secret?secret HTTP/1.1\r\nHost: \(label).d\r\nConnection: close\r\n\r\n"]
            }
        _ = try await run(.all, route: mode, keys: testKeys, requests)
        #expect(lines.all.count == requests.count)
        let text = "\(lines.all)"
        for secret in [signature, credential.plain, "secret", "4000000000"] { #expect(!text.contains(secret)) }
        let kind = if case .header = mode { "header" } else if case .uri = mode { "path" } else { "host" }
        #expect(lines.all[0]["route"] == kind)
    }

    @Test func `a tunnel has a line when it ends, with the bytes of both ways`() async throws {
        let backend = try await ScriptedBackend { received, _ in
            received.hasSuffix("ping")
                ? .init(bytes: "a longer pong", closes: true)
                : received.hasSuffix("\r\n\r\n")
                    ? .init(bytes: "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n") : nil
        }
        let directory = TestDirectory()
        directory.set("open", at: backend.address)
        _ = try await withGateway(directory, accessLog: .all, logger: lines.logger()) { address in
            try await RawClient(address).exchange(
                "GET / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: open-80\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nping"
            )
        }
        #expect(try await eventually { !lines.all.isEmpty })
        #expect(lines.all[0]["status"] == "101" && lines.all[0]["bytesIn"] == "4" && lines.all[0]["bytesOut"] == "13")
        await backend.close()
    }

    @Test func `the server proxy's requests and their sandboxes have the id of the answer`() async throws {
        let backend = try await ScriptedBackend.answering("in")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let answers = try await withServerProxy(directory) { address in
            var answers: [String] = []
            for path in ["/sandboxes/s/proxy/80/", "/sandboxes/none/proxy/80/"] {
                answers.append(
                    try await RawClient(address).exchange(
                        "GET \(path) HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
            }
            return answers
        }
        func id(_ text: String) -> Substring? {
            text.split(separator: "\r\n").first { $0.lowercased().hasPrefix("x-request-id: ") }?.dropFirst(14)
        }
        #expect(id(answers[0])?.utf8.count == 32 && id(answers[0]) == id(backend.received))
        #expect(id(answers[1])?.utf8.count == 32)
        await backend.close()
    }
}
