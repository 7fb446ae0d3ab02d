import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

func head(_ target: String, _ headers: HTTPHeaders = ["host": "h"], _ method: HTTPMethod = .GET) -> HTTPRequestHead {
    HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers)
}

let testKeys = try! KeyRing(active: "a", keys: ["a": [1, 2, 3]])

@Suite struct RouteTests {
    private let headerMode = RouteMode.header()
    private let wildcard = RouteMode.wildcard(domain: "Sandbox.example.com")

    private func token(_ sandbox: String, _ port: Int, expires: UInt64 = 2_000_000_000) -> RouteToken {
        RouteToken.mint(sandbox: sandbox, port: port, expires: expires, keys: testKeys)
    }

    @Test func `an id keeps its dashes in a header`() {
        let route = headerMode.route(of: head("/x?y=1", ["host": "h", "OPENSANDBOX-INGRESS-TO": "a-b-80-8080"]))
        #expect(route == Route(sandbox: "a-b-80", port: 8080, target: "/x?y=1"))
    }

    @Test func `every form says the same after a round trip`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            let id = (0..<Int.random(in: 1...40)).map { _ in String("ab019-".randomElement(using: &random)!) }.joined()
            let port = Int.random(in: 1...65535, using: &random)
            let token = token(id, port, expires: UInt64.random(in: 0 ... .max, using: &random))
            let path = ["/", "/a/b", "/..//%2F?q=/1/2", "/?"].randomElement(using: &random)!
            let plain = Route(sandbox: id, port: port, target: path)
            let signed = Route(sandbox: id, port: port, token: token, target: path)
            func both(_ mode: RouteMode, _ make: (String) -> HTTPRequestHead) {
                #expect(mode.route(of: make("\(id)-\(port)")) == plain)
                #expect(mode.route(of: make(token.text)) == signed)
            }
            both(headerMode) { head(path, ["opensandbox-ingress-to": $0, "host": "gateway.example.com"]) }
            both(headerMode) { head(path, ["host": "\($0).any.where:28888"]) }
            both(.header(domain: "d.example")) { head(path, ["host": "\($0).D.example"]) }
            both(wildcard) { head(path, ["host": "\($0).sandbox.EXAMPLE.com"]) }
            #expect(RouteMode.uri.route(of: head("/\(id)/\(port)\(path)")) == plain)
            let inPath = RouteMode.uri.route(of: head(token.pathPrefix + path))
            #expect(inPath?.token == token && inPath?.target == path)
            #expect(inPath?.unsignedTarget == "/\(token.expiresText)/\(token.signature)\(path)")
            let two = RouteToken.Form.allCases.map {
                RouteToken.mint(
                    sandbox: id, port: port, expires: token.expires, epoch: .first, form: $0, keys: testKeys)
            }
            let inHeader = headerMode.route(of: head(path, ["opensandbox-ingress-to": two[1].text]))
            #expect(inHeader == Route(sandbox: id, port: port, token: two[1], target: path))
            let inHost = wildcard.route(of: head(path, ["host": two[0].text + ".sandbox.example.com"]))
            #expect(inHost == Route(sandbox: id, port: port, token: two[0], target: path))
            let second = RouteMode.uri.route(of: head(two[1].pathPrefix + path))
            #expect(second?.token == two[1] && second?.target == path)
            #expect(second?.unsignedTarget == "/\(token.expiresText)/\(two[1].signature)\(path)")
            // In the wrong place a token is none.
            #expect(headerMode.route(of: head(path, ["opensandbox-ingress-to": two[0].text])) == nil)
            #expect(wildcard.route(of: head(path, ["host": two[1].text + ".sandbox.example.com"])) == nil)
            #expect(RouteMode.uri.route(of: head(two[0].pathPrefix + path))?.token == nil)
        }
    }

    @Test(arguments: [
        ("/s/80", "/"), ("/s/80/", "/"), ("/s/80?a=/b", "/?a=/b"), ("/s/80//x", "//x"), ("/s/80/../x", "/../x"),
        ("/s/80/%2e%2e/x", "/%2e%2e/x"), ("/s/80/a/b/c/d/e/f", "/a/b/c/d/e/f"),
    ])
    func `what follows the port is passed on byte for byte`(target: String, expected: String) {
        #expect(RouteMode.uri.route(of: head(target)) == Route(sandbox: "s", port: 80, target: expected))
    }

    @Test func `segments that only look like a signature can be given back`() {
        let route = RouteMode.uri.route(of: head("/s/80/abc/0123abcdz?q"))
        #expect(route?.target == "/?q")
        #expect(route?.unsignedTarget == "/abc/0123abcdz?q")
        #expect(RouteMode.uri.route(of: head("/s/80/abc/0123abcdz/x"))?.target == "/x")
    }

    @Test(arguments: [
        "", "s", "-80", "s-", "s-0", "s-080", "s-65536", "s-99999999999999999999", "s-+80", "s-80 ", "s/-80", "s.t-80",
        "../x-80", "s-8０", "s-80-", "%73-80", "s-\u{5C1}80",
    ])
    func `what is not an id and a port is no route`(label: String) {
        #expect(headerMode.route(of: head("/", ["host": "s-80.d", "opensandbox-ingress-to": label])) == nil)
        #expect(wildcard.route(of: head("/", ["host": label + ".sandbox.example.com"])) == nil)
    }

    /// The third group from the end may be a port, as the fourth of this UUID is.
    @Test(arguments: ["0443", "+8080", "80801", "8080x", "8080/"])
    func `an id with a wrong port is no broken token, whatever the digits of the id`(port: String) {
        #expect(!Route.resemblesToken("3f1c5a2e-77aa-4b1c-8123-123456789abc-00\(port)"))
        #expect(Route.resemblesToken("3f1c5a2e-77aa-4b1c-8123-123456789abc-8080-tafb1c-00\(port)"))
    }

    @Test(arguments: [
        "/", "//80/", "/s", "/s/", "/s/0/", "/s/080/", "/s/65536/", "/../80/", "/s%2F/80/", "/.s/80", "s/80/",
    ])
    func `a path that does not begin with an id and a port is no route`(target: String) {
        #expect(RouteMode.uri.route(of: head(target)) == nil)
    }

    @Test func `two routing headers name no sandbox`() {
        let headers: HTTPHeaders = ["opensandbox-ingress-to": "s-80", "OpenSandbox-Ingress-To": "s-80", "host": "h"]
        #expect(headerMode.route(of: head("/", headers)) == nil)
    }

    @Test(arguments: ["s-80.example.com", "s-80.sandbox.example.com.evil.org", "s-80.x.sandbox.example.com", "s-80"])
    func `another domain is no route`(host: String) {
        #expect(wildcard.route(of: head("/", ["host": host])) == nil)
    }

    @Test func `random bytes never crash`() {
        let alphabet = Array("az09-/.?%:AZ\u{e9}\0 ")
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...40)).map { _ in String(alphabet.randomElement()!) }.joined()
            let request = head(text, ["host": text, "opensandbox-ingress-to": text])
            for mode in [headerMode, .header(domain: "x"), .uri, wildcard] {
                guard let route = mode.route(of: request) else { continue }
                #expect(Route.isSandboxID(route.sandbox) && (1...65535).contains(route.port))
            }
        }
    }
}
