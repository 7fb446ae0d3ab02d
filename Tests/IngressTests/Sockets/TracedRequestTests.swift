import FoundationEssentials
import NIOCore
import TestSupport
import Testing
import Tracing

private let trace = "0af7651916cd43dd8448eb211c80319c", client = "b7ad6b7169203331"
private let asked = "traceparent: 00-\(trace)-\(client)-01"

/// What the sandbox got of a field.
private func field(_ name: String, of request: String) -> [String] {
    request.components(separatedBy: "\r\n").filter { $0.lowercased().hasPrefix(name + ": ") }.map {
        String($0.dropFirst(name.count + 2))
    }
}

@Suite struct TracedRequestTests {
    private func ask(
        _ fields: [String], _ tracer: Tracer?, byProxy: Bool = false, status: String = "200 OK"
    ) async throws -> (answer: String, received: String) {
        let backend = try await ScriptedBackend { _, _ in
            .init(bytes: "HTTP/1.1 \(status)\r\nContent-Length: 2\r\n\r\nok")
        }
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        @Sendable func exchange(_ address: SocketAddress) async throws -> String {
            var lines = ["GET \(byProxy ? "/sandboxes/s/proxy/80/" : "/") HTTP/1.1", "Host: h", "Connection: close"]
            if !byProxy { lines.append("OpenSandbox-Ingress-To: s-80") }
            return try await RawClient(address).exchange((lines + fields + ["", ""]).joined(separator: "\r\n"))
        }
        let answer =
            byProxy
            ? try await withServerProxy(directory, tracer: tracer, exchange)
            : try await withGateway(directory, tracer: tracer, exchange)
        let received = backend.received
        await backend.close()
        return (answer, received)
    }

    @Test(arguments: [false, true]) func `a request's span is its client's child and its sandbox's parent`(
        byProxy: Bool
    ) async throws {
        let tracer = Tracer(Sampler(), spans: SpanQueue())
        let (answer, received) = try await ask([asked, "tracestate: a=1", "Tracestate: b=2"], tracer, byProxy: byProxy)
        let spans = tracer.spans.take()
        try #require(spans.count == 1)
        #expect(spans[0].parent == 0xb7ad_6b71_6920_3331 && spans[0].kind == .server && spans[0].failure == nil)
        #expect(spans[0].name == (byProxy ? "GET /sandboxes/{id}/proxy/{port}/*" : "GET gateway"))
        #expect(spans[0].attributes.contains(.init("http.response.status_code", .number(200))))
        #expect(field("traceparent", of: received) == [spans[0].context.traceparent])
        #expect(spans[0].context.traceparent.hasPrefix("00-\(trace)-") && !received.contains(client))
        #expect(field("tracestate", of: received) == ["a=1,b=2"])
        #expect(!answer.lowercased().contains("traceparent") && !answer.contains(trace))
    }

    @Test(arguments: [
        ["traceparent: 00-\(trace)-\(client)-0x"], ["traceparent: ../../etc/passwd"], [asked, asked],
        ["traceparent:", "tracestate: a=1"], ["traceparent: 00-\(trace.uppercased())-\(client)-01"],
    ])
    func `what is no context is neither believed nor passed on nor sent back`(fields: [String]) async throws {
        let tracer = Tracer(Sampler(), spans: SpanQueue())
        let (answer, received) = try await ask(fields, tracer)
        let span = try #require(tracer.spans.take().first)
        #expect(span.parent == nil && field("traceparent", of: received) == [span.context.traceparent])
        #expect(field("tracestate", of: received).isEmpty)
        #expect(!received.lowercased().contains(trace) && !answer.lowercased().contains(trace))
    }

    @Test func `where the client does not record, nobody does, and the sandbox is told`() async throws {
        let tracer = Tracer(Sampler(), spans: SpanQueue())
        let received = try await ask(["traceparent: 00-\(trace)-\(client)-00"], tracer).received
        #expect(tracer.spans.count == 0)
        let passed = field("traceparent", of: received)
        #expect(passed.count == 1 && passed[0].hasPrefix("00-\(trace)-") && passed[0].hasSuffix("-00"))
    }

    @Test func `where nothing is traced, the fields pass as any others`() async throws {
        let received = try await ask([asked, "tracestate: a=1", "traceparent: x"], nil).received
        #expect(field("traceparent", of: received) == [String(asked.dropFirst(13)), "x"])
        #expect(field("tracestate", of: received) == ["a=1"])
    }

    @Test func `what fails and what is refused has a span, too`() async throws {
        let tracer = Tracer(Sampler(), spans: SpanQueue())
        _ = try await ask([], tracer, status: "503 No")
        #expect(tracer.spans.take().map(\.failure) == ["status 503"])
        let answer = try await withGateway(TestDirectory(), tracer: tracer) {
            try await RawClient($0).exchange(get("/", "OpenSandbox-Ingress-To: nobody-80"))
        }
        #expect(answer.hasPrefix("HTTP/1.1 404"))
        let refused = tracer.spans.take()
        #expect(refused.count == 1 && refused[0].failure == nil)
        #expect(refused[0].attributes.contains(.init("http.response.status_code", .number(404))))
        // A method of one's own makes no name of its own.
        _ = try await withGateway(TestDirectory(), tracer: tracer) {
            try await RawClient($0).exchange("MINE / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        }
        #expect(tracer.spans.take().map(\.name) == ["HTTP gateway"])
    }
}
