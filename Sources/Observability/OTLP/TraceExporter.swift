import HTTPClient
import Logging
import System
import Tracing

/// Sends spans to a collector, as JSON over HTTP, until its task is cancelled: when a batch of them has come together, and
/// every few seconds.
///
/// What cannot be sent is tried again with growing pauses. Meanwhile the queue fills up to its end; what does not arrive is
/// counted, by `sallyport_otlp_spans_dropped_total`.
package struct TraceExporter: Sendable {
    private let configuration: OTLPConfiguration
    private let spans: SpanQueue
    private let scope: String
    private let version: String
    private let outlet: OTLPOutlet

    /// - Parameter scope: who makes the spans: `opensandbox.server`.
    package init(
        _ configuration: OTLPConfiguration, spans: SpanQueue, scope: String, version: String,
        client: HTTPClient = .shared, logger: Logger
    ) {
        self.configuration = configuration
        self.spans = spans
        self.scope = scope
        self.version = version
        outlet = OTLPOutlet(configuration, client: client, logger: logger)
    }

    /// Exports until the task is cancelled, and then what waits, as far as the collector takes it at once.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(configuration.interval))
                    spans.call()
                }
            }
            for await _ in spans.calls { while !Task.isCancelled, await export(isLast: false) {} }
            group.cancelAll()
        }
        while await export(isLast: true) {}
    }

    /// Sends one batch.
    /// - Returns: whether it has arrived, and there may be more.
    func export(isLast: Bool) async -> Bool {
        let batch = spans.take()
        guard !batch.isEmpty else { return false }
        let document = SpanDocument(
            batch, resource: configuration.attributes.map { SpanRecord.Attribute($0.name, .text($0.value)) },
            scope: scope, version: version)
        guard await outlet.send("traces", document.encoded, isLast: isLast) else {
            spans.lose(batch.count)
            return false
        }
        return true
    }
}

extension MetricsRegistry {
    /// Adds what becomes of spans to the registry.
    package func collect(_ spans: SpanQueue) {
        collect {
            [
                Sample("sallyport_otlp_spans_dropped_total", .counter, Double(spans.dropped)),
                Sample("sallyport_otlp_spans_waiting", .gauge, Double(spans.count)),
            ]
        }
    }
}
