import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

private struct TeapotError: Error {}

/// An API that says everything in its own words.
private func api() -> HTTPAPI {
    var api = HTTPAPI(
        .decoded, logger: Logger(label: "test"),
        admit: { request, access in
            if access == .guarded, !request.headers.contains(name: "key") { throw TeapotError() }
            return request.method == .OPTIONS ? .text(.ok, "asked") : nil
        },
        render: { error, request in .text(.imATeapot, "\(error) of \(request.path)") })
    api.maxBody = 4
    api.on(.GET, "/open", access: .open) { _ in .text(.ok, "open") }
    api.on(.POST, "/echo/{name}") {
        .text(.ok, "\($0.parameters["name"] ?? "") \(String(decoding: try await $0.wholeBody(), as: UTF8.self))")
    }
    api.on(.POST, "/large", maxBody: 8) { .text(.ok, String(decoding: try await $0.wholeBody(), as: UTF8.self)) }
    api.on(.GET, "/stream") { _ in
        .stream(.ok, headers: ["content-type": "text/plain"]) { writer in
            for part in ["one ", "two"] { try await writer.write(ByteBuffer(string: part)) }
        }
    }
    api.on(.GET, "/broken") { _ in
        .stream(.ok, headers: [:]) { writer in
            try await writer.write(ByteBuffer(string: "half"))
            throw TeapotError()
        }
    }
    return api
}

@Suite struct HTTPAPITests {
    private func ask(
        _ method: HTTPMethod, _ target: String, _ body: String = "", key: Bool = true
    ) async -> (UInt, String, HTTPHeaders) {
        let reply = await api().reply(
            to: HTTPRequest(
                method: method, target: target, headers: key ? ["key": "k"] : [:],
                body: HTTPBody(ByteBuffer(string: body))))
        return (reply.status.code, String(decoding: reply.bytes, as: UTF8.self), reply.headers)
    }

    @Test func `who may not ask learns nothing but of open routes`() async {
        for (method, target) in [(HTTPMethod.POST, "/echo/a"), (.GET, "/echo/a"), (.GET, "/nothing")] {
            let (status, text, headers) = await ask(method, target, key: false)
            #expect(status == 418 && text.hasPrefix("TeapotError") && !headers.contains(name: "allow"))
        }
        #expect(await ask(.GET, "/open", key: false).1 == "open")
        #expect(await ask(.POST, "/open", key: false).1.hasPrefix("TeapotError"))
    }

    @Test func `every refusal is in the words of the API`() async {
        #expect(await ask(.GET, "/nothing?x").1 == "unknownRoute of /nothing")
        let (status, text, headers) = await ask(.GET, "/echo/a")
        #expect(status == 418 && text.hasPrefix("wrongMethod") && headers["allow"] == ["POST"])
        #expect(await ask(.POST, "/echo/a", "12345").1.contains("larger than 4 bytes"))
        #expect(await ask(.POST, "/echo/a%20b", "1234").1 == "a b 1234")
        #expect(await ask(.POST, "/large", "12345678").1 == "12345678")
        #expect(await ask(.OPTIONS, "/nothing").1 == "asked")
    }

    @Test func `a stream is sent part by part, and a broken one is never taken for whole`() async throws {
        func get(_ target: String, _ method: String = "GET") async throws -> String {
            try await withServer(application: api()) {
                try await RawClient($0).exchange(
                    "\(method) \(target) HTTP/1.1\r\nHost: h\r\nKey: k\r\nConnection: close\r\n\r\n")
            }
        }
        #expect(try await get("/stream").hasSuffix("4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"))
        let head = try await get("/stream", "HEAD")
        #expect(head.hasPrefix("HTTP/1.1 200 OK") && head.hasSuffix("\r\n\r\n") && !head.contains("one"))
        #expect(try await get("/broken").hasSuffix("\r\n4\r\nhalf\r\n"))
    }
}
