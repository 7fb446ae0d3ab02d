import CoreMetrics
import Logging
import Observability
import Testing

@Suite struct MetricsRegistryTests {
    let registry = MetricsRegistry()

    @Test func `a counter made twice by one name is one series`() {
        registry.makeCounter(label: "dns.queries", dimensions: [("verdict", "allow")]).increment(by: 2)
        registry.makeCounter(label: "dns.queries", dimensions: [("verdict", "allow")]).increment(by: 3)
        registry.makeCounter(label: "dns.queries", dimensions: [("verdict", "deny")]).increment(by: 1)
        #expect(
            registry.prometheusText() == """
                # TYPE dns_queries_total counter
                dns_queries_total{verdict="allow"} 5
                dns_queries_total{verdict="deny"} 1

                """)
    }

    @Test func `a gauge goes up and down`() {
        let gauge = registry.makeMeter(label: "sandboxes", dimensions: [])
        gauge.set(3 as Int64)
        gauge.increment(by: 2)
        gauge.decrement(by: 4.5)
        #expect(registry.prometheusText() == "# TYPE sandboxes gauge\nsandboxes 0.5\n")
    }

    @Test func `a timer is a histogram in seconds`() {
        let timer = registry.makeTimer(label: "create_seconds", dimensions: [])
        timer.recordNanoseconds(2_000_000)
        timer.recordNanoseconds(90_000_000_000)
        let lines = registry.prometheusText().split(separator: "\n")
        #expect(lines.contains(#"create_seconds_bucket{le="0.001"} 0"#))
        #expect(lines.contains(#"create_seconds_bucket{le="0.0025"} 1"#))
        #expect(lines.contains(#"create_seconds_bucket{le="60"} 1"#))
        #expect(lines.contains(#"create_seconds_bucket{le="+Inf"} 2"#))
        #expect(lines.contains("create_seconds_sum 90.002"))
        #expect(lines.contains("create_seconds_count 2"))
    }

    @Test func `label values are escaped and names made legal`() {
        registry.makeCounter(label: "9 lives", dimensions: [("a-b", "x\"y\\z\n")]).increment(by: 1)
        #expect(registry.prometheusText().hasSuffix("_9_lives_total{a_b=\"x\\\"y\\\\z\\n\"} 1\n"))
    }
}

@Suite struct LogLevelTests {
    @Test(arguments: [("INFO", Logger.Level.info), ("warning", .warning), ("WARN", .warning), ("debug", .debug)])
    func `the contract's level names are known`(name: String, level: Logger.Level) {
        #expect(Observability.level(named: name) == level)
    }

    @Test func `an unknown level name is none`() {
        #expect(Observability.level(named: "loud") == nil)
    }
}
