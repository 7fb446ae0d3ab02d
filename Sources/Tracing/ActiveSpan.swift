import Synchronization
import System

/// A span that goes on. Where its trace is not recorded it only carries the context on.
package final class ActiveSpan: Sendable {
    private struct State {
        var attributes: [SpanRecord.Attribute] = []
        var failure: String?
        var isOver = false
    }

    /// The one that the present task works for; nil where nothing is traced.
    @TaskLocal package static var current: ActiveSpan?

    /// What goes along with requests that are made for it.
    package let context: TraceContext
    private let parent: UInt64?
    private let name: String
    private let kind: SpanRecord.Kind
    private let tracer: Tracer
    /// Nanoseconds since 1970, and of the clock that nobody sets.
    private let start: UInt64
    private let begun: UInt64
    private let state = Mutex(State())

    init(_ name: String, _ kind: SpanRecord.Kind, _ context: TraceContext, parent: UInt64?, _ tracer: Tracer) {
        (self.name, self.kind, self.context, self.parent, self.tracer) = (name, kind, context, parent, tracer)
        start = context.isSampled ? SystemClock.wallNanoseconds() : 0
        begun = context.isSampled ? SystemClock.monotonicNanoseconds() : 0
    }

    /// A part of its work.
    package func child(_ name: String, _ kind: SpanRecord.Kind = .internal) -> ActiveSpan {
        ActiveSpan(
            name, kind, context.with(span: Tracer.newID(), isSampled: context.isSampled), parent: context.span, tracer)
    }

    /// - Parameter value: no text of strangers that could be a secret.
    package func set(_ name: String, _ value: SpanRecord.Value) {
        guard context.isSampled else { return }
        state.withLock { $0.attributes.append(.init(name, value)) }
    }

    /// Says that it goes wrong: what, in few words and without secrets.
    package func fail(_ reason: String) {
        guard context.isSampled else { return }
        state.withLock { $0.failure = reason }
    }

    /// Ends it; a second end is none.
    package func end() {
        guard context.isSampled else { return }
        let now = SystemClock.monotonicNanoseconds()
        let record = state.withLock { state -> SpanRecord? in
            guard !state.isOver else { return nil }
            state.isOver = true
            return SpanRecord(
                context: context, parent: parent, name: name, kind: kind, start: start,
                end: start &+ (now &- begun), attributes: state.attributes, failure: state.failure)
        }
        if let record { tracer.spans.put(record) }
    }

    /// Does work as a part of the present span, or as it is where nothing is traced.
    package static func within<Result, Failure: Error>(
        _ name: String, _ kind: SpanRecord.Kind = .internal, _ attributes: [SpanRecord.Attribute] = [],
        _ body: () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        guard let current else { return try await body() }
        let span = current.child(name, kind)
        for attribute in attributes { span.set(attribute.name, attribute.value) }
        let outcome = await $current.withValue(span) { () async -> Swift.Result<Result, Failure> in
            do throws(Failure) { return .success(try await body()) } catch { return .failure(error) }
        }
        if case .failure(let error) = outcome { span.fail("\(type(of: error))") }
        span.end()
        return try outcome.get()
    }
}
