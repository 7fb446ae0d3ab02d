import HTTPWire
import NIOCore
import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct HeaderRulesTests {
    private let backend = Backend(
        address: .tcp(host: "10.0.0.2", port: 8080), incarnation: "1",
        headers: [.init("X-Sandbox", "s"), .init("OPENSANDBOX-EGRESS-AUTH", "token")])

    private func request(_ rules: HeaderRules, _ headers: HTTPHeaders, upgrade: String? = nil) -> HTTPHeaders {
        let sent = rules.request(
            head("/x", headers), target: "/x", backend: backend, peer: "192.0.2.1", scheme: "http", upgrade: upgrade)
        var bytes = sent.bytes, decoder = RequestDecoder(RequestHeadCheck())
        guard case .head(let head)? = try? decoder.next(&bytes), bytes.readableBytes == 0 else { return [:] }
        #expect(
            head.uri == "/x" && head.method == .GET && sent.isChunked == headers.contains(name: "transfer-encoding"))
        return head.headers
    }

    @Test func `credentials, hop-by-hop and named fields never reach the sandbox`() {
        let sent: HTTPHeaders = [
            "host": "h", "connection": "close, X-Named", "x-named": "1", "keep-alive": "1", "te": "trailers",
            "proxy-authorization": "1", "upgrade": "h2c", "http2-settings": "1", "forwarded": "for=1",
            "x-forwarded-for": "1", "x-forwarded-host": "1", "x-forwarded-proto": "https", "x-real-ip": "1",
            "opensandbox-ingress-to": "s-1", "OpenSandbox-Secure-Access": "c", "opensandbox-access-renew": "skip",
            "OPEN-SANDBOX-API-KEY": "k", "open_sandbox_api_key": "k", "x_forwarded_for": "1", "x-sandbox": "forged",
            "opensandbox-egress-auth": "own", "accept": "*/*", "x-a": "1", "X-A": "2",
        ]
        for rules in [HeaderRules.gateway, .serverProxy] {
            let got = request(rules, sent)
            #expect(
                got.map(\.name).map { $0.lowercased() } == [
                    "host", "opensandbox-egress-auth", "accept", "x-a", "x-a", "x-forwarded-proto", "x-forwarded-host",
                    "x-forwarded-for", "x-sandbox",
                ])
            #expect(got["opensandbox-egress-auth"] == ["own"] && got["x-sandbox"] == ["s"] && got["x-a"] == ["1", "2"])
            #expect(got["x-forwarded-for"] == ["192.0.2.1"] && got["x-forwarded-proto"] == ["http"])
        }
    }

    @Test func `the gateway keeps what belongs to the application and the server proxy does not`() {
        let sent: HTTPHeaders = ["host": "app.example", "authorization": "a", "cookie": "b"]
        let gateway = request(.gateway, sent)
        #expect(gateway["host"] == ["app.example"] && gateway["authorization"] == ["a"] && gateway["cookie"] == ["b"])
        let proxy = request(.serverProxy, sent)
        #expect(proxy["host"] == ["10.0.0.2:8080"] && proxy["authorization"] == [] && proxy["cookie"] == [])
        #expect(proxy["x-forwarded-host"] == ["app.example"])
    }

    @Test func `framing is made anew`() {
        #expect(request(.gateway, ["host": "h", "content-length": "5"])["content-length"] == ["5"])
        #expect(request(.gateway, ["host": "h", "transfer-encoding": "chunked"])["transfer-encoding"] == ["chunked"])
        let upgrade = request(
            .gateway, ["host": "h", "connection": "x, upgrade", "upgrade": "websocket"], upgrade: "websocket")
        #expect(upgrade["connection"] == ["upgrade"] && upgrade["upgrade"] == ["websocket"])
    }

    @Test func `a request goes on with one id, whatever ids its client sent`() {
        let asked: [HTTPHeaders] = [[:], ["x-request-id": "a b"], ["X-Request-ID": "1", "x-request-id": "2"]]
        for fields in asked {
            let sent = HeaderRules.gateway.request(
                head("/x", fields), target: "/x", backend: backend, peer: nil, scheme: "http", upgrade: nil, id: "mine")
            var bytes = sent.bytes, decoder = RequestDecoder(RequestHeadCheck())
            guard case .head(let head)? = try? decoder.next(&bytes) else {
                Issue.record("no head")
                continue
            }
            #expect(head.headers["x-request-id"] == ["mine"])
        }
    }

    @Test func `a trailer cannot pass for a field of the head`() {
        let sent: HTTPHeaders = [
            "checksum": "1", "host": "x", "content-length": "1", "x-forwarded-for": "1", "x-sandbox": "1",
            "opensandbox-secure-access": "1",
        ]
        #expect(HeaderRules.gateway.trailers(sent, backend: backend).map(\.name) == ["checksum"])
    }

    private func response(
        _ headers: HTTPHeaders, _ status: HTTPResponseStatus = .ok, toHEAD: Bool = false, canChunk: Bool = true,
        _ rules: HeaderRules = .gateway
    ) -> HTTPHeaders {
        var sent = OutgoingResponse(HTTPResponseHead(version: .http1_1, status: status, headers: headers)).bytes
        sent.writeString("\r\n")
        var decoder = ResponseDecoder(maxBytes: 1000, maxFields: 100)
        decoder.expect(toHEAD: toHEAD)
        guard case .head(let head)? = try? decoder.next(&sent) else { return ["none": ""] }
        let response = rules.response(head, toHEAD: toHEAD, canChunk: canChunk)
        #expect(response.hasLength == response.headers.contains(name: "content-length"))
        #expect(response.isChunked == response.headers.contains(name: "transfer-encoding"))
        return response.headers
    }

    @Test func `repeated response fields are kept and hop-by-hop ones are not`() {
        let sent: HTTPHeaders = [
            "set-cookie": "a", "Set-Cookie": "b", "server": "s", "connection": "x-y", "x-y": "1", "keep-alive": "1",
            "content-length": "3",
        ]
        #expect(response(sent).map(\.name) == ["set-cookie", "Set-Cookie", "server", "content-length"])
        #expect(response(sent, .serverProxy).map(\.name) == ["set-cookie", "Set-Cookie", "content-length"])
    }

    private func response(_ headers: HTTPHeaders, _ rules: HeaderRules) -> HTTPHeaders {
        response(headers, .ok, toHEAD: false, canChunk: true, rules)
    }

    @Test func `bytes of a response pass as they are, and fields can be set`() {
        var sent = ByteBuffer(bytes: Array("HTTP/1.1 201 x\r\nX:\t \u{e9}".utf8) + [0xFF] + Array(" \r\n\r\n".utf8))
        var decoder = ResponseDecoder(maxBytes: 1000, maxFields: 100)
        decoder.expect(toHEAD: false)
        guard case .head(let head)? = try? decoder.next(&sent) else { return #expect(Bool(false)) }
        var response = HeaderRules.gateway.response(head, toHEAD: false, canChunk: true)
        #expect(
            Array(response.bytes.readableBytesView).suffix(37).starts(with: Array("X:\t \u{e9}".utf8) + [0xFF, 0x0D]))
        response.headers = ["a": "b", "content-length": "1"]
        #expect(String(buffer: response.bytes) == "HTTP/1.1 201 Created\r\na: b\r\ncontent-length: 1\r\n")
        #expect(
            response.hasLength && !response.isChunked && response.head.headers == ["a": "b", "content-length": "1"])
    }

    @Test func `a response is framed once`() {
        #expect(response(["transfer-encoding": "chunked"])["transfer-encoding"] == ["chunked"])
        #expect(response([:])["transfer-encoding"] == ["chunked"])
        #expect(response([:], canChunk: false).isEmpty)
        #expect(response([:], toHEAD: true).isEmpty)
        #expect(response(["content-length": "9"], toHEAD: true)["content-length"] == ["9"])
        #expect(response(["content-length": "9"], .notModified)["content-length"] == ["9"])
        #expect(response(["content-length": "9"], .noContent).isEmpty)
        #expect(response(["content-length": "009"])["content-length"] == ["9"])
        #expect(response(["transfer-encoding": "chunked"], canChunk: false).isEmpty)
    }
}

@Suite struct UpgradeTests {
    private func upgrade(_ headers: HTTPHeaders) throws(ProxyError) -> Upgrade { try Upgrade(head("/", headers)) }

    @Test func `an upgrade needs both fields and one protocol`() throws {
        #expect(try upgrade(["connection": "keep-alive, Upgrade", "upgrade": "websocket"]) == .to("websocket"))
        #expect(try upgrade([:]) == .none)
        #expect(try upgrade(["upgrade": "websocket"]) == .ignored)
        #expect(throws: ProxyError.self) { try upgrade(["connection": "upgrade", "upgrade": "websocket, foo"]) }
    }

    @Test func `HTTP/2 never hides in a tunnel`() throws {
        #expect(try upgrade(["connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c"]) == .ignored)
        #expect(try upgrade(["connection": "upgrade", "upgrade": "websocket, H2C"]) == .ignored)
        #expect(try upgrade(["connection": "upgrade", "upgrade": "HTTP/2.0"]) == .ignored)
    }

    @Test func `an upgrade has no body`() throws {
        #expect(throws: ProxyError.self) {
            try upgrade(["connection": "upgrade", "upgrade": "x", "content-length": "1"])
        }
        #expect(throws: ProxyError.self) {
            try upgrade(["connection": "upgrade", "upgrade": "x", "transfer-encoding": "chunked"])
        }
        #expect(try upgrade(["connection": "upgrade", "upgrade": "x", "content-length": "0"]) == .to("x"))
    }
}
