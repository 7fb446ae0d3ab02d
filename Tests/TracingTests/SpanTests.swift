import JSON
import Testing

@testable import Tracing

private struct Trouble: Error {}

private func tracer(_ sampler: Sampler = Sampler(), capacity: Int = 8, batch: Int = 4) -> Tracer {
    Tracer(sampler, spans: SpanQueue(capacity: capacity, batch: batch))
}

@Suite struct SpanTests {
    @Test func `parts of a work are linked to it and to who asked for it`() async throws {
        let tracer = tracer()
        let parent = try #require(
            TraceContext(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", state: ["a=1"]))
        let request = tracer.begin("GET /x", parent: parent)
        await ActiveSpan.$current.withValue(request) {
            await ActiveSpan.within("create", .internal, [.init("sandbox.id", .text("s"))]) {
                await ActiveSpan.within("guard PUT", .client) {}
            }
        }
        request.end()
        request.end()
        let spans = tracer.spans.take()
        #expect(spans.map(\.name) == ["guard PUT", "create", "GET /x"])
        #expect(spans.map(\.kind) == [.client, .internal, .server])
        #expect(Set(spans.map(\.context.traceDigits)) == ["0af7651916cd43dd8448eb211c80319c"])
        #expect(spans.map(\.parent) == [spans[1].context.span, spans[2].context.span, parent.span])
        #expect(Set(spans.map(\.context.span)).count == 3 && spans.allSatisfy { $0.context.state.text == "a=1" })
        #expect(spans.allSatisfy { $0.start > 0 && $0.end >= $0.start } && spans[1].attributes.count == 1)
    }

    @Test func `what goes wrong is said by its kind, and thrown on`() async {
        let tracer = tracer()
        await #expect(throws: Trouble.self) {
            try await ActiveSpan.$current.withValue(tracer.begin("x", parent: nil)) {
                try await ActiveSpan.within("step") { () async throws(Trouble) in throw Trouble() }
            }
        }
        #expect(tracer.spans.take().map(\.failure) == ["Trouble"])
    }

    @Test func `a trace that is not recorded goes on, and leaves nothing`() async {
        let tracer = tracer(Sampler(ratio: 0))
        let span = tracer.begin("x", parent: nil), child = span.child("y")
        span.set("a", .text("b"))
        child.end()
        span.end()
        #expect(tracer.spans.count == 0 && !child.context.isSampled)
        #expect(child.context.traceDigits == span.context.traceDigits && child.context.span != span.context.span)
    }

    @Test func `without a span nothing is begun`() async {
        let answer = await ActiveSpan.within("x") { ActiveSpan.current == nil }
        #expect(answer)
    }
}

@Suite struct SpanQueueTests {
    private func record(_ number: Int) -> SpanRecord {
        SpanRecord(
            context: TraceContext(newWithSpan: 1) { _ in true }, name: "\(number)", kind: .internal, start: 0, end: 0)
    }

    @Test func `what comes beyond the room is dropped and counted, and the oldest leave first`() {
        let queue = SpanQueue(capacity: 5, batch: 3)
        for number in 0..<9 { queue.put(record(number)) }
        #expect(queue.count == 5 && queue.dropped == 4)
        #expect(queue.take().map(\.name) == ["0", "1", "2"] && queue.take().map(\.name) == ["3", "4"])
        #expect(queue.take().isEmpty)
        queue.lose(2)
        #expect(queue.dropped == 6)
    }

    @Test func `whoever exports is called when a batch has come together`() async {
        let queue = SpanQueue(capacity: 5, batch: 2)
        var calls = queue.calls.makeAsyncIterator()
        queue.put(record(0))
        queue.put(record(1))
        await calls.next()
        #expect(queue.take().count == 2)
        // And not only once.
        queue.put(record(2))
        queue.put(record(3))
        await calls.next()
        #expect(queue.take().count == 2)
    }

    @Test func `sizes that make no sense are made to`() {
        let queue = SpanQueue(capacity: 0, batch: -1)
        queue.put(record(0))
        #expect(queue.capacity == 1 && queue.batch == 1 && queue.take().count == 1)
    }
}

@Suite struct SpanDocumentTests {
    @Test func `a document has the shape of the protobuf JSON mapping`() throws {
        var span = SpanRecord(
            context: TraceContext(traceHigh: 1, traceLow: 2, span: 3, flags: 1, state: TraceState(["a=1"])), parent: 4,
            name: "GET \"\n", kind: .server, start: .max, end: 0)
        span.attributes = [.init("text", .text("\u{0}é\\")), .init("number", .number(.min))]
        span.failure = String(repeating: "x", count: 5000)
        let first = SpanRecord(
            context: TraceContext(traceHigh: 0, traceLow: 5, span: .max, flags: 1), name: "a", kind: .client, start: 1,
            end: 2)
        let document = SpanDocument(
            [span, first], resource: [.init("service.name", .text("svc"))], scope: "s", version: "1")
        let expected = #"""
            {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},
            "scopeSpans":[{"scope":{"name":"s","version":"1"},"spans":[
            {"traceId":"00000000000000010000000000000002","spanId":"0000000000000003","parentSpanId":"0000000000000004",
            "traceState":"a=1","name":"GET \"\n","kind":2,"startTimeUnixNano":"18446744073709551615",
            "endTimeUnixNano":"18446744073709551615","flags":1,"attributes":[
            {"key":"text","value":{"stringValue":"\u0000é\\"}},
            {"key":"number","value":{"intValue":"-9223372036854775808"}}],
            "status":{"code":2,"message":"CUT"}},
            {"traceId":"00000000000000000000000000000005","spanId":"ffffffffffffffff","name":"a","kind":3,
            "startTimeUnixNano":"1","endTimeUnixNano":"2","flags":1}]}]}]}
            """#.replacing("CUT", with: String(repeating: "x", count: 1024))
        #expect(try JSONValue(document.encoded) == JSONValue(Array(expected.utf8)))
    }
}
