import FoundationEssentials
import HTTPServer
import JSON
import NIOCore
import NIOHTTP1
import Runtimes
import TestSupport
import Testing

@testable import ControlPlane

/// Parts of the surface that need no sandbox's life: what no runtime has, what is only counted, and what browsers read.
@Suite struct SurfaceTests {
    @Test(arguments: ["/v1", ""])
    func `what no runtime has is checked and then refused by its own code`(_ prefix: String) async throws {
        let house = try House()
        func ask(_ method: HTTPMethod, _ path: String, _ body: String = "") async -> (Int, JSONValue?) {
            let answer = await house.send(method, prefix + path, body)
            return (answer.status, answer.json?["code"])
        }
        for (method, path, body) in [
            (HTTPMethod.GET, "/templates?page=2", ""), (.POST, "/templates", #"{"image":"a","publish":"s3://b"}"#),
            (.GET, "/templates/a", ""), (.DELETE, "/templates/a", ""),
        ] {
            let (status, code) = await ask(method, path, body)
            #expect(status == 501 && code == .string("FSB::API_NOT_SUPPORTED"), "\(method) \(path)")
        }
    }

    @Test(arguments: [
        (HTTPMethod.POST, "/v1/pools", "{}"), (.PUT, "/v1/pools/a", "[]"),
        (.POST, "/v1/templates", "{}"), (.POST, "/v1/templates", #"{"image":"","publish":"a"}"#),
        (.POST, "/v1/templates", #"{"image":"a","publish":"a","unheardOf":1}"#),
        (.POST, "/v1/templates", #"{"image":"a","publish":"a","format":"zip"}"#),
        (.POST, "/v1/templates", #"{"image":"a","publish":"a","entrypoint":[]}"#), (.GET, "/v1/templates?page=0", ""),
    ])
    func `what is wrong everywhere is 422 before it is unsupported`(
        _ method: HTTPMethod, _ path: String, _ body: String
    ) async throws {
        let answer = try await House().send(method, path, body)
        #expect(answer.status == 422 && answer.json?["detail"] != nil, "\(answer.text)")
    }

    @Test func `what a client reports is checked, and counted by languages that there are`() async throws {
        let house = try House()
        let event = #"{"eventType":"sandbox.create","createDurationMs":12,"success":true,"image":"a","sandboxId":"b"}"#
        #expect(await house.send(.POST, "/v1/metrics/events", event).status == 204)
        for (part, other) in [
            ("sandbox.create", "other"), ("12", "-1"), ("12", "1.5"), ("true", "1"), (#""a""#, "5"), (#""b""#, "[]"),
            (#""success":true,"#, ""),
        ] {
            let answer = await house.send(.POST, "/v1/metrics/events", event.replacing(part, with: other))
            #expect(answer.status == 422, "\(other): \(answer.text)")
        }
        #expect(SDKLanguage(userAgent: "OpenSandbox-Python-SDK/1.1.1") == .python)
        for agent in ["", "OpenSandbox-Cobol-SDK/1", "OpenSandbox-Python-SDK-x/1", "curl/8"] {
            #expect(SDKLanguage(userAgent: agent) == .other, "\(agent)")
        }
    }

    @Test func `a create says where its sandbox is`() async throws {
        let house = try House()
        let reply = await house.api.http.reply(
            to: HTTPRequest(
                method: .POST, target: "/sandboxes",
                headers: [LifecycleAPI.keyHeader: House.apiKey, "content-type": "application/json"],
                body: HTTPBody(ByteBuffer(string: House.body()))))
        let id = try #require(house.service.catalog.all.first?.id)
        #expect(reply.status == .accepted && reply.headers["location"] == ["/v1/sandboxes/\(id)"])
    }

    @Test func `an extension is shown wherever its sandbox is`() async throws {
        let house = try House(), shown = JSONValue.object(["opensandbox.extensions.a": .string("b")])
        let body = House.body(#","extensions":{"opensandbox.extensions.a":"b"}"#)
        let made = await house.send(.POST, "/v1/sandboxes", body)
        #expect(made.json?["extensions"] == shown, "\(made.text)")
        let id = try #require(house.service.catalog.all.first?.id)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)").json?["extensions"] == shown)
        guard case .array(let items)? = await house.send(.GET, "/v1/sandboxes").json?["items"] else {
            return #expect(Bool(false), "no list")
        }
        #expect(items.map { $0["extensions"] } == [shown])
    }

    // MARK: for browsers

    private static let paths = [
        "/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/redoc",
        "/redoc/redoc.standalone.js",
    ]

    private func get(_ path: String, _ house: House) async -> Reply {
        await house.api.http.reply(to: HTTPRequest(method: .GET, target: path))
    }

    @Test func `documents are read without a key, and their pages run nothing of others`() async throws {
        let folder = TemporaryFolder("pages")
        for name in ["openapi.json", "swagger-ui.css", "swagger-ui-bundle.js", "redoc.standalone.js"] {
            try Data(name.utf8).write(to: URL(filePath: folder.path + "/" + name))
        }
        let house = try House(pages: APIPages(folder: folder.path))
        for path in Self.paths {
            let reply = await get(path, house)
            let text = String(decoding: reply.bytes, as: UTF8.self)
            #expect(reply.status == .ok && !text.isEmpty && !text.contains("://"), "\(path)")
            let policy = try #require(reply.headers.first(name: "content-security-policy"))
            #expect(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"))
            #expect(!policy.contains("http") && policy.contains("frame-ancestors 'none'"))
            #expect(!text.contains("<script>") && !text.contains("onload="), "a script that stands in the page")
        }
        #expect(await get("/docs/../openapi.json", house).status == .unauthorized, "a route that there is not")
    }

    @Test func `documents that are not installed are missed in one sentence, and those turned off are no routes`()
        async throws
    {
        let without = try House(), off = try House(pages: nil)
        for path in Self.paths where path != "/docs/start.js" {
            let reply = await get(path, without)
            #expect(reply.status == .notFound && String(decoding: reply.bytes, as: UTF8.self).contains("api-pages.sh"))
            #expect(await get(path, off).status == .unauthorized, "\(path)")
        }
    }
}
