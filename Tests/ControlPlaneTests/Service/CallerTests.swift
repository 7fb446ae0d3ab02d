import HTTPServer
import JSON
import NIOCore
import NIOHTTP1
import Testing

@testable import ControlPlane

/// Pages of other origins, and names that are not the server's.
@Suite struct CallerTests {
    private func create(_ house: House, _ headers: HTTPHeaders, key: String? = House.apiKey) async -> (Int, String?) {
        let answer = await house.send(.POST, "/v1/sandboxes", House.body(), headers: headers, key: key)
        if case .string(let code)? = answer.json?["code"] { return (answer.status, code) }
        return (answer.status, nil)
    }

    @Test(arguments: [House.apiKey, nil])
    func `a page of another origin makes nothing, whatever it sends`(_ key: String?) async throws {
        let house = try House(apiKey: key)
        for origin in ["https://page.example", "http://127.0.0.1:28888", "null", "", "http://h.example", "https://h:1"]
        {
            for type in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
                let headers: HTTPHeaders = ["host": "h", "origin": origin, "content-type": type]
                #expect(await create(house, headers, key: key) == (403, "FOREIGN_ORIGIN"), "\(origin) \(type)")
            }
            let asked: HTTPHeaders = ["host": "h", "origin": origin, "access-control-request-method": "POST"]
            #expect(await house.send(.OPTIONS, "/v1/sandboxes", headers: asked, key: nil).status == 403)
            let reading: HTTPHeaders = ["host": "h", "origin": origin]
            #expect(await house.send(.GET, "/v1/sandboxes", headers: reading, key: key).status == 403)
        }
        #expect(house.runtime.left.isEmpty)
        #expect(await create(house, ["host": "h"], key: key).0 == 202, "control: a program")
    }

    @Test(arguments: [
        ("127.0.0.1:8080", true), ("[::1]:8080", true), ("localhost", true), ("LOCALHOST:1", true), ("h.", true),
        ("H:8080", true), ("api", true), ("page.example", false), ("h.page.example", false), ("203.0.113.77", false),
        ("[2001:db8::77]", false), ("127.0.0.1.page.example", false), ("", false), ("h:1:2", false), ("h:evil", false),
        ("h:", true), ("localhost:80@page.example", false), ("[::1]x", false), ("[::1]:x", false), ("[::1", false),
        ("h:１", false),
    ])
    func `the host has to be one of the server's`(_ host: String, _ isOwn: Bool) async throws {
        for key in [House.apiKey, nil] {
            let house = try House(apiKey: key)
            let (status, code) = await create(house, ["host": host], key: key)
            #expect(status == (isOwn ? 202 : 421) && (code == "UNKNOWN_HOST") == !isOwn, "\(host)")
            #expect(await house.send(.GET, "/health", headers: ["host": host], key: nil).status == (isOwn ? 200 : 421))
        }
    }

    @Test func `every name is the server's where the setting says so`() {
        #expect(HostNames(["*"]).contains("anything.example:80") && !HostNames([]).contains("anything.example:80"))
    }

    @Test(arguments: [House.apiKey, nil])
    func `a body says that it is JSON`(_ key: String?) async throws {
        let house = try House(apiKey: key)
        for type in [
            "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json",
        ] {
            let refused = await create(house, ["content-type": type], key: key)
            #expect(refused == (415, "UNSUPPORTED_MEDIA_TYPE"), "\(type)")
        }
        #expect(house.runtime.left.isEmpty)
        for type in ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"] {
            #expect(await create(house, ["content-type": type], key: key).0 == 202, "\(type)")
        }
        // What comes in chunks has a body, too.
        let chunked: HTTPHeaders = ["transfer-encoding": "chunked", LifecycleAPI.keyHeader: House.apiKey]
        let request = HTTPRequest(
            method: .POST, target: "/v1/sandboxes", headers: chunked, body: HTTPBody(ByteBuffer(string: House.body())))
        #expect(await house.api.http.reply(to: request).status == .unsupportedMediaType)
    }

    @Test func `a page that is named in the setting may call, and sees the answer`() async throws {
        let house = try House()
        let page: HTTPHeaders = ["host": "h", "origin": "https://console.example"]
        var asking = page
        asking.add(name: "access-control-request-method", value: "POST")
        asking.add(name: "access-control-request-headers", value: "open-sandbox-api-key")
        let asked = await house.send(.OPTIONS, "/v1/sandboxes", headers: asking, key: nil)
        #expect(asked.status == 200)
        #expect(await house.send(.GET, "/v1/sandboxes", headers: page).status == 200)
        #expect(await house.send(.GET, "/v1/sandboxes", headers: page, key: nil).status == 401)
    }

    @Test func `the server's own origin is no page's where no key is asked for`() async throws {
        let own: HTTPHeaders = ["host": "h:8080", "origin": "http://h:8080"]
        #expect(try await House().send(.GET, "/v1/sandboxes", headers: own).status == 200)
        let open = try House(apiKey: nil)
        #expect(await open.send(.GET, "/v1/sandboxes", headers: own, key: nil).status == 403)
        let reading: HTTPHeaders = ["host": "h:8080", "sec-fetch-site": "same-origin"]
        #expect(await open.send(.GET, "/v1/sandboxes", headers: reading, key: nil).status == 403)
        let typed: HTTPHeaders = ["host": "h:8080", "sec-fetch-site": "none"]
        #expect(await open.send(.GET, "/v1/sandboxes", headers: typed, key: nil).status == 200)
    }

    @Test(arguments: [
        ("http://h", "h", true), ("http://h", "h:80", true), ("https://h", "h:443", true),
        ("https://h:8443", "h:8443", true),
        ("http://h", "h:8080", false), ("https://h", "h:80", false), ("http://h.example", "h", false),
        ("null", "null", false),
        ("ftp://h", "h", false), ("http://", "", true),
    ])
    func `an origin is the host's own by name and port`(_ origin: String, _ host: String, _ isOwn: Bool) {
        #expect(CallerRules.isOwn(origin, host: host) == isOwn)
        #expect(!CallerRules.isOwn(origin, host: nil))
    }
}
