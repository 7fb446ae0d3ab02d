import CoreMetrics
import HTTPClient
import Logging
import System

/// Sends the registry to a collector periodically, as JSON over HTTP, until its task is cancelled.
///
/// A failed export is retried with growing pauses and then left to the next one. Counts are cumulative, so nothing is
/// lost.
package struct OTLPExporter: Sendable {
    private let configuration: OTLPConfiguration
    private let registry: MetricsRegistry
    private let scope: String
    private let version: String
    private let outlet: OTLPOutlet
    private let start = SystemClock.wallNanoseconds()

    /// - Parameter scope: the meter's name: `opensandbox/egress`.
    package init(
        _ configuration: OTLPConfiguration, registry: MetricsRegistry, scope: String, version: String,
        client: HTTPClient = .shared, logger: Logger
    ) {
        self.configuration = configuration
        self.registry = registry
        self.scope = scope
        self.version = version
        outlet = OTLPOutlet(configuration, client: client, logger: logger)
    }

    /// Exports until the task is cancelled, and once more then.
    package func run() async {
        let failures = Counter(label: "sallyport_otlp_failures_total")
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(configuration.interval))
            if await !export() { failures.increment() }
        }
    }

    /// Performs one export with its retries.
    func export() async -> Bool {
        let document = OTLPDocument(
            registry.snapshot(), resource: configuration.attributes, scope: scope, version: version, start: start,
            now: SystemClock.wallNanoseconds())
        return await outlet.send("metrics", document.encoded, isLast: Task.isCancelled)
    }
}
