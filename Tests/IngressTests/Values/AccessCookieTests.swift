import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

@Suite struct AccessCookieTests {
    @Test(
        arguments: [
            ("opensandbox-access=x", nil), ("a=b; opensandbox-access=x; c=d", "a=b; c=d"),
            (" opensandbox-access = x ;a=b", "a=b"), ("a=opensandbox-access=x", "a=opensandbox-access=x"),
            ("my-opensandbox-access=x", "my-opensandbox-access=x"), ("a=b", "a=b"),
            ("opensandbox-access=x; opensandbox-access=y", nil),
        ] as [(String, String?)])
    func `it is taken out of what the sandbox sees, and nothing else is`(_ field: String, _ rest: String?) {
        #expect(AccessCookie.stripped(field) == rest)
    }

    @Test func `several values are looked at, and not any number`() {
        let many = (0..<9).map { "opensandbox-access=\($0)" }.joined(separator: ";")
        #expect(AccessCookie.values(in: ["cookie": "a=b", "Cookie": many]) == ["0", "1", "2", "3"])
    }

    @Test func `the field says where it holds, for how long and to whom`() {
        let keys = try! KeyRing(active: "a", keys: ["a": [1]])
        let token = RouteToken.mint(
            sandbox: "s", port: 80, expires: 1000, epoch: .first, form: .long, keys: keys
        ).cookie(epoch: .first, keys: keys)
        let field = AccessCookie.field(token, now: 400)
        #expect(
            field == "opensandbox-access=\(token.cookieText); Path=/s/80; Max-Age=600; HttpOnly; SameSite=Lax")
        #expect(AccessCookie.isSet(by: field) && !AccessCookie.isSet(by: "a=opensandbox-access"))
    }

    @Test(
        arguments: [
            ("GET", [:], true), ("HEAD", [:], true), ("POST", [:], false), ("DELETE", [:], false),
            ("OPTIONS", [:], false),
            ("GET", ["origin": "http://h:1"], true), ("GET", ["origin": "https://H:1"], true),
            ("POST", ["origin": "http://h:1"], true), ("POST", ["origin": "http://evil"], false),
            ("GET", ["origin": "http://evil"], false), ("GET", ["origin": "null"], false),
            ("GET", ["origin": "http://h"], false), ("POST", ["origin": "http://h:1.evil"], false),
            ("GET", ["upgrade": "websocket"], false),
            ("GET", ["upgrade": "websocket", "origin": "http://h:1"], true),
            ("GET", ["upgrade": "websocket", "origin": "http://evil"], false),
            ("GET", ["sec-fetch-site": "same-origin"], true), ("GET", ["sec-fetch-site": "none"], true),
            ("GET", ["sec-fetch-site": "cross-site"], false), ("GET", ["sec-fetch-site": "same-site"], false),
            (
                "GET", ["sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"],
                true
            ),
            ("GET", ["sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"], false),
            (
                "POST", ["sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"],
                false
            ),
        ] as [(String, [String: String], Bool)])
    func `what another page has a browser send opens nothing`(
        _ method: String, _ fields: [String: String], _ isWanted: Bool
    ) {
        var headers = HTTPHeaders([("host", "h:1")])
        for (name, value) in fields { headers.add(name: name, value: value) }
        let head = HTTPRequestHead(
            version: .http1_1, method: HTTPMethod(rawValue: method), uri: "/", headers: headers)
        #expect(AccessCookie.isWanted(head) == isWanted)
    }
}
