import HTTPClient
import Logging
import Tracing

/// All that one process sends to a collector.
package struct Exports: Sendable {
    private let metrics: OTLPExporter?
    private let traces: TraceExporter?
    /// Begins the spans; nil where nothing is traced.
    package let tracer: Tracer?

    /// How long a program that ends waits for its last exports.
    private static let lastWait = Duration.seconds(3)

    /// - Parameters:
    ///   - metrics, traces: where to; nil for nowhere.
    ///   - registry: what is exported, and what counts the spans that are not.
    ///   - scope: who makes metrics and spans: `opensandbox.server`.
    package init(
        metrics: OTLPConfiguration? = nil, traces: TraceConfiguration? = nil, registry: MetricsRegistry, scope: String,
        client: HTTPClient = .shared, logger: Logger
    ) {
        let version = Observability.release
        self.metrics = metrics.map {
            OTLPExporter($0, registry: registry, scope: scope, version: version, client: client, logger: logger)
        }
        let tracer = traces?.tracer()
        self.tracer = tracer
        if let traces, let tracer {
            registry.collect(tracer.spans)
            self.traces = TraceExporter(
                traces.otlp, spans: tracer.spans, scope: scope, version: version, client: client, logger: logger)
        } else {
            self.traces = nil
        }
    }

    package var isEmpty: Bool { metrics == nil && traces == nil }

    /// Exports until `end`.
    package func start() -> Task<Void, Never> {
        Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await metrics?.run() }
                group.addTask { await traces?.run() }
            }
        }
    }

    /// Has everything exported once more, within a few seconds: for a program that ends, when nothing more comes.
    package static func end(_ export: Task<Void, Never>) async {
        export.cancel()
        let (ends, end) = AsyncStream<Void>.makeStream()
        Task {
            await export.value
            end.yield()
        }
        let clock = Task {
            try await Task.sleep(for: lastWait)
            end.yield()
        }
        for await _ in ends { break }
        clock.cancel()
    }
}
