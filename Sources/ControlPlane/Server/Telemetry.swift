import Egress
import Logging
import Observability
import Tracing

/// A server's metrics: denials of each sandbox, and the export to a collector.
enum Telemetry {
    /// The most sandboxes with their own series, since each costs the collector.
    private static let maxSandboxes = 512

    static func collect(_ node: EgressNode, into metrics: MetricsRegistry) {
        metrics.collect { [weak node] in
            guard let isStale = node?.hasStaleLists else { return [] }
            return [.init("sallyport_egress_lists_stale", .gauge, isStale ? 1 : 0)]
        }
        metrics.collect { [weak node] in
            node?.counts(limit: maxSandboxes).flatMap { counts -> [MetricsRegistry.Sample] in
                let sandbox = [MetricsRegistry.Dimension("sandbox_id", counts.id)]
                return [
                    .init("sallyport_egress_sandbox_denied_total", .counter, Double(counts.namesDenied), sandbox),
                    .init(
                        "sallyport_egress_sandbox_budget_refusals_total", .counter, Double(counts.budgetRefusals),
                        sandbox),
                    .init("egress.nftables.rules.count", .gauge, Double(counts.rules), sandbox),
                ]
            } ?? []
        }
    }

    /// - Parameter part: of this server, whose spans and metrics have its name.
    static func exports(
        _ settings: Settings, _ metrics: MetricsRegistry, of part: Part = .server, environment: [String: String],
        logger: Logger
    ) throws(ConfigurationError) -> Exports {
        let telemetry = settings.telemetry
        var counted: OTLPConfiguration?, traced: TraceConfiguration?
        if telemetry.isEnabled {
            var environment = environment
            if environment["OTEL_METRIC_EXPORT_INTERVAL"] == nil {
                environment["OTEL_METRIC_EXPORT_INTERVAL"] = "\(telemetry.interval)"
            }
            do {
                counted = try OTLPConfiguration(
                    environment: environment, service: telemetry.service, endpoint: telemetry.endpoint)
                traced = try TraceConfiguration(
                    environment: environment, service: telemetry.service, endpoint: telemetry.endpoint,
                    isOn: telemetry.traces,
                    sampler: Sampler(ratio: telemetry.tracesRatio, followsParent: telemetry.tracesFollowParent))
            } catch {
                throw ConfigurationError("\(error)")
            }
            if part != .server {
                counted?.nameService(suffix: part.rawValue)
                traced?.otlp.nameService(suffix: part.rawValue)
            }
        }
        return Exports(metrics: counted, traces: traced, registry: metrics, scope: "opensandbox.server", logger: logger)
    }
}
