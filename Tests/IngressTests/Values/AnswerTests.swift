import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import Ingress

@Suite struct ErrorPageTests {
    private func page(_ accept: String?, _ message: String = "m") -> ErrorPage {
        ErrorPage.of(.notReady(message), for: head("/", accept.map { ["accept": $0] } ?? [:]))
    }

    @Test func `only who asks for a page gets one`() {
        for accept in [nil, "*/*", "application/json", "application/json, text/html", "text/plain"] {
            #expect(page(accept).contentType == "application/json")
        }
        for accept in ["text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "Text/HTML;q=1"] {
            #expect(page(accept).contentType.hasPrefix("text/html"))
        }
    }

    @Test func `a message cannot leave its place`() {
        #expect(page(nil, "a\"b\\c\n").text == #"{"code":"SANDBOX_NOT_READY","message":"a\"b\\c "}"#)
        #expect(page("text/html", "<script>&\"").text.contains("&lt;script&gt;&amp;&quot;"))
    }
}

@Suite struct WebSocketRefusalTests {
    private let handshake: HTTPHeaders = [
        "host": "h", "connection": "upgrade", "upgrade": "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ]

    @Test func `a refused WebSocket is closed with a code`() throws {
        let refused = try #require(WebSocketRefusal(of: head("/", handshake), .unauthorized))
        #expect(refused.head.headers["sec-websocket-accept"] == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="])
        #expect(Array(refused.closeFrame.readableBytesView.prefix(4)) == [0x88, 34, 0x03, 0xF0])
        let failed = try #require(WebSocketRefusal(of: head("/", handshake), .connectionFailed))
        #expect(Array(failed.closeFrame.readableBytesView.prefix(4)) == [0x88, 27, 0x03, 0xF3])
    }

    @Test func `what is no handshake gets an ordinary answer`() {
        var keyless = handshake
        keyless.remove(name: "sec-websocket-key")
        #expect(WebSocketRefusal(of: head("/", keyless), .unauthorized) == nil)
        #expect(WebSocketRefusal(of: head("/", handshake, .POST), .unauthorized) == nil)
        #expect(WebSocketRefusal(of: head("/", handshake), .malformed("")) == nil)
    }
}

@Suite struct DeadlineTests {
    @Test func `a time limit moves and is met once`() {
        let loop = EmbeddedEventLoop()
        var met = 0
        let deadline = Deadline(loop) { met += 1 }
        // An embedded loop's clock is its own: what is set is relative to the real one, so only order is looked at.
        deadline.set(.hours(1))
        deadline.clear()
        deadline.set(.nanoseconds(0))
        loop.advanceTime(to: .now() + .hours(2))
        #expect(met == 1)
        loop.advanceTime(by: .hours(2))
        #expect(met == 1)
    }
}

@Suite struct ProxyPathTests {
    @Test(arguments: [
        ("/sandboxes/s/proxy/80", "/sandboxes/s/proxy/80", "/"),
        ("/v1/sandboxes/s/proxy/80/", "/v1/sandboxes/s/proxy/80", "/"),
        ("/v1/sandboxes/s/proxy/80?a=/b", "/v1/sandboxes/s/proxy/80", "/?a=/b"),
        ("/sandboxes/s/proxy/80//a%2Fb/?", "/sandboxes/s/proxy/80", "//a%2Fb/?"),
    ])
    func `the rest is passed on byte for byte`(target: String, mount: String, rest: String) throws {
        let path = try #require(ProxyPath(target))
        #expect(path.sandbox == "s" && path.port == 80 && path.mount == mount && path.target == rest)
    }

    @Test(arguments: [
        "/", "/sandboxes", "/sandboxes/s/proxy", "/sandboxes/s/proxy/", "/sandboxes/s/proxy/80x",
        "/sandboxes//proxy/80",
        "/v2/sandboxes/s/proxy/80", "/v1/v1/sandboxes/s/proxy/80", "//sandboxes/s/proxy/80", "/sandboxes/s/t/proxy/80",
        "/SANDBOXES/s/proxy/80", "/x?/sandboxes/s/proxy/80", "sandboxes/s/proxy/80", "",
    ])
    func `other paths are not the proxy's`(target: String) {
        #expect(ProxyPath(target) == nil)
    }

    @Test func `two dots are seen however they are written, and only in the path`() {
        for path in ["/../x", "/%2e%2e/x", "/.%2E", "/a..b"] {
            #expect(ProxyPath("/sandboxes/s/proxy/80" + path)?.hasDots == true)
        }
        #expect(ProxyPath("/sandboxes/s/proxy/80/x?..")?.hasDots == false)
    }
}
