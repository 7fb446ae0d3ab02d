import CoreMetrics
import Testing

@testable import Observability

@Suite struct MetricNamesTests {
    private func family(_ label: String, _ kind: PrometheusText.Kind) -> String { PrometheusText.family(label, kind) }

    @Test func `names follow Prometheus' conventions, whatever the reference calls them`() {
        #expect(family("egress.nftables.updates.count", .counter) == "egress_nftables_updates_total")
        #expect(family("egress.nftables.updates.failed_total", .counter) == "egress_nftables_updates_failed_total")
        #expect(family("egress.nftables.rules.count", .gauge) == "egress_nftables_rules")
        #expect(family("egress.process.cpu.time", .counter) == "egress_process_cpu_time_seconds_total")
        #expect(family("egress.dns.query.duration", .histogram) == "egress_dns_query_duration_seconds")
        #expect(family("egress.system.memory.usage_bytes", .gauge) == "egress_system_memory_usage_bytes")
        #expect(family("sallyport_create_step_seconds", .histogram) == "sallyport_create_step_seconds")
    }

    @Test func `help stands once in front of a metric, in one text and in one of several`() {
        let registry = MetricsRegistry()
        registry.makeCounter(label: "egress.policy.denied_total", dimensions: []).increment(by: 1)
        registry.collect { [.init("sallyport_leftovers", .gauge, 2)] }
        let text = registry.prometheusText()
        let other = text.replacing("_total 1", with: "_total{a=\"b\"} 3")
        #expect(
            MetricsRegistry.merged([text, other]) == """
                # HELP egress_policy_denied_total Names that a policy denied.
                # TYPE egress_policy_denied_total counter
                egress_policy_denied_total 1
                egress_policy_denied_total{a="b"} 3
                # HELP sallyport_leftovers Things of deleted sandboxes that could not be removed yet.
                # TYPE sallyport_leftovers gauge
                sallyport_leftovers 2

                """)
    }
}
