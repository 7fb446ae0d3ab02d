import Egress
import Logging
import Observability

/// A server's metrics: denials of each sandbox, and the export to a collector.
enum Telemetry {
    /// The most sandboxes with their own series, since each costs the collector.
    private static let maxSandboxes = 512

    static func collect(_ node: EgressNode, into metrics: MetricsRegistry) {
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

    /// Nil if nothing is exported.
    static func exporter(
        _ settings: Settings, _ metrics: MetricsRegistry, of part: Part = .server, environment: [String: String],
        logger: Logger
    ) throws(ConfigurationError) -> OTLPExporter? {
        guard settings.telemetry.isEnabled else { return nil }
        var environment = environment
        if environment["OTEL_METRIC_EXPORT_INTERVAL"] == nil {
            environment["OTEL_METRIC_EXPORT_INTERVAL"] = "\(settings.telemetry.interval)"
        }
        var configuration: OTLPConfiguration?
        do {
            configuration = try OTLPConfiguration(
                environment: environment, service: settings.telemetry.service, endpoint: settings.telemetry.endpoint)
        } catch {
            throw ConfigurationError("\(error)")
        }
        if part != .server { configuration?.nameService(suffix: part.rawValue) }
        return configuration.map {
            OTLPExporter(
                $0, registry: metrics, scope: "opensandbox.server", version: Observability.release, logger: logger)
        }
    }
}
