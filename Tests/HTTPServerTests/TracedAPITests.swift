import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import TestSupport
import Testing
import Tracing

private struct Trouble: Error {}

@Suite struct TracedAPITests {
    private let tracer = Tracer(Sampler(), spans: SpanQueue())

    private func ask(_ target: String, _ fields: String...) async throws -> String {
        var api = HTTPAPI(.decoded, logger: Logger(label: "test")) { error, _ in
            .text(error is RoutingError ? .notFound : .internalServerError, "refused")
        }
        api.tracer = tracer
        api.on(.GET, "/v1/things/{id}") { _ in
            await ActiveSpan.within("look") { .text(.ok, ActiveSpan.current?.context.traceparent ?? "none") }
        }
        api.on(.GET, "/fails") { _ in throw Trouble() }
        api.on(.GET, "/breaks") { _ in
            .stream(.ok, headers: [:]) { writer in
                try await writer.write(ByteBuffer(string: "half"))
                throw Trouble()
            }
        }
        let lines = ["GET \(target) HTTP/1.1", "Host: h", "Connection: close"] + fields
        return try await withServer(application: api) {
            try await RawClient($0).exchange((lines + ["", ""]).joined(separator: "\r\n"))
        }
    }

    @Test func `a request's span has its route's name, and the handler's work is part of it`() async throws {
        let trace = "0af7651916cd43dd8448eb211c80319c"
        let answer = try await ask("/v1/things/secret", "traceparent: 00-\(trace)-b7ad6b7169203331-01")
        let spans = tracer.spans.take()
        try #require(spans.map(\.name) == ["look", "GET /v1/things/{id}"])
        #expect(spans[1].parent == 0xb7ad_6b71_6920_3331 && spans[0].parent == spans[1].context.span)
        #expect(answer.hasSuffix(spans[0].context.traceparent) && answer.contains(trace))
        #expect(spans[1].attributes.contains(.init("http.response.status_code", .number(200))))
        #expect(spans.allSatisfy { !"\($0)".contains("secret") }, "a path may have secrets")
    }

    @Test func `what the server is to blame for is an error, and what the client is to blame for is none`() async throws
    {
        _ = try await ask("/nothing")
        #expect(tracer.spans.take().map { [$0.name, $0.failure] } == [["GET", nil]])
        _ = try await ask("/fails")
        #expect(tracer.spans.take().map { [$0.name, $0.failure] } == [["GET /fails", "status 500"]])
        _ = try await ask("/breaks")
        #expect(tracer.spans.take().map { [$0.name, $0.failure] } == [["GET /breaks", "broken off"]])
    }
}
