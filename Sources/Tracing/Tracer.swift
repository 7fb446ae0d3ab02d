/// Begins spans, and keeps those that are over until they are exported.
package final class Tracer: Sendable {
    package let sampler: Sampler
    package let spans: SpanQueue

    package init(_ sampler: Sampler, spans: SpanQueue) {
        self.sampler = sampler
        self.spans = spans
    }

    /// A span for a request that has come.
    /// - Parameter parent: what the request says of itself; nil begins a trace.
    package func begin(_ name: String, parent: TraceContext?, _ kind: SpanRecord.Kind = .server) -> ActiveSpan {
        let id = Self.newID()
        guard let parent else {
            return ActiveSpan(
                name, kind, TraceContext(newWithSpan: id) { sampler.takes(traceLow: $0) }, parent: nil, self)
        }
        return ActiveSpan(
            name, kind, parent.with(span: id, isSampled: sampler.takes(parent)), parent: parent.span, self)
    }

    static func newID() -> UInt64 { .random(in: 1 ... .max) }
}
