import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess
import TestSupport
import Testing

func get(_ path: String, _ fields: String...) -> String {
    (["GET \(path) HTTP/1.1", "Host: h"] + fields + ["Connection: close", "", ""]).joined(separator: "\r\n")
}

@Suite struct GatewayRoutingTests {
    @Test(arguments: [
        (RouteMode.header(), "GET /a?b HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: my-box-80\r\n"),
        (.header(), "GET /a?b HTTP/1.1\r\nHost: my-box-80.any.domain:28888\r\n"),
        (.uri, "GET /my-box/80/a?b HTTP/1.1\r\nHost: h\r\n"),
        (.wildcard(domain: "d.example"), "GET /a?b HTTP/1.1\r\nHost: MY-box-80.D.example\r\n"),
        (.uri, "GET http://h/my-box/80/a?b HTTP/1.1\r\nHost: h\r\n"),
    ])
    func `a request reaches its sandbox in every mode`(mode: RouteMode, request: String) async throws {
        let backend = try await ScriptedBackend.answering("hello")
        let directory = TestDirectory()
        directory.set("my-box", at: backend.address)
        let answer = try await withGateway(directory, mode: mode) {
            try await RawClient($0).exchange(request + "Connection: close\r\n\r\n")
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\nhello"))
        #expect(backend.received.hasPrefix("GET /a?b HTTP/1.1\r\n"))
        #expect(directory.accesses == [.init(sandbox: "my-box", renew: true)])
        await backend.close()
    }

    @Test func `the gateway says that it lives`() async throws {
        let answer = try await withGateway(TestDirectory()) { try await RawClient($0).exchange(get("/status.ok")) }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK"))
    }

    @Test func `errors have a code, or a page for who asks for one`() async throws {
        let directory = TestDirectory()
        directory.set("asleep", to: .notReady("the sandbox is <paused>"))
        directory.set("gone", at: try SocketAddress(ipAddress: "127.0.0.1", port: 1))
        let gone = try await ScriptedBackend { _, _ in .init(bytes: "", closes: true) }
        directory.set("rude", at: gone.address)
        let garbage = try await ScriptedBackend { _, _ in .init(bytes: "nonsense\r\n\r\n") }
        directory.set("garbage", at: garbage.address)
        try await withGateway(directory) { address in
            func ask(_ to: String, _ fields: String) async throws -> String {
                try await RawClient(address).exchange(get("/", "OpenSandbox-Ingress-To: \(to)", fields))
            }
            for (to, status, code) in [
                ("nobody-80", "404", "SANDBOX_NOT_FOUND"), ("asleep-80", "503", "SANDBOX_NOT_READY"),
                ("gone-80", "502", "BACKEND_CONNECTION_FAILED"), ("rude-80", "502", "BACKEND_RESPONSE_FAILED"),
                ("garbage-80", "502", "BACKEND_RESPONSE_FAILED"), ("nonsense", "400", "INVALID_ROUTE"),
            ] {
                let answer = try await ask(to, "Accept: application/json")
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
                #expect(answer.contains(#"{"code":"\#(code)","message":""#), "\(answer)")
            }
            let page = try await ask("asleep-80", "Accept: text/html,application/xhtml+xml")
            #expect(page.contains("content-type: text/html") && page.contains("the sandbox is &lt;paused&gt;"))
        }
        await gone.close()
        await garbage.close()
    }

    @Test func `a sandbox that does not answer in time gets 504`() async throws {
        let silent = try await ScriptedBackend { _, _ in nil }
        let directory = TestDirectory()
        directory.set("s", at: silent.address)
        var limits = ProxyLimits()
        limits.responseTimeout = .milliseconds(30)
        let answer = try await withGateway(directory, limits: limits) {
            try await RawClient($0).exchange(get("/", "OpenSandbox-Ingress-To: s-80"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 504") && answer.contains("BACKEND_TIMEOUT"))
        #expect(try await eventually { silent.ended == 1 })
        await silent.close()
    }

    @Test func `a unix socket with a path prefix is a backend`() async throws {
        let path = "/tmp/spt-ingress-\(UInt32.random(in: 0 ... .max)).sock"
        let server = HTTPServer(group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "t")) {
            request, writer in
            try? await writer.send(.text(.ok, "\(request.target) \(request.headers["x-own"])"))
        }
        let socket = try await server.start(on: .unix(path: path, mode: 0o600))
        let directory = TestDirectory()
        directory.set("s", 18080, at: socket, pathPrefix: "/sandboxes/s", headers: [.init("X-Own", "1")])
        let answer = try await withGateway(directory) {
            try await RawClient($0).exchange(get("/policy?x", "OpenSandbox-Ingress-To: s-18080", "X-Own: forged"))
        }
        #expect(answer.hasSuffix(#"/sandboxes/s/policy?x ["1"]"#))
        await server.shutdown(grace: .zero)
    }

    @Test func `skip is passed to the directory and to nobody else`() async throws {
        let backend = try await ScriptedBackend.answering("x")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        _ = try await withGateway(directory) {
            try await RawClient($0).exchange(
                get("/", "OpenSandbox-Ingress-To: s-80", "OpenSandbox-Access-Renew: skip"))
        }
        #expect(directory.accesses == [.init(sandbox: "s", renew: false)])
        #expect(!backend.received.lowercased().contains("access-renew"))
        await backend.close()
    }
}
