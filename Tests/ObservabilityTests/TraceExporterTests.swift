import Foundation
import HTTPClient
import Logging
import TestSupport
import Testing
import Tracing

@testable import Observability

private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

@Suite struct TraceExporterTests {
    private func configuration(_ collector: HookServer, _ more: [String: String] = [:]) throws -> TraceConfiguration {
        try #require(
            try TraceConfiguration(
                environment: [
                    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)", "OTEL_TRACES_EXPORTER": "otlp",
                ].merging(more) { $1 }, service: "svc"))
    }

    private func exporter(_ configuration: TraceConfiguration, _ tracer: Tracer) -> TraceExporter {
        TraceExporter(configuration.otlp, spans: tracer.spans, scope: "s", version: "1", logger: quiet)
    }

    /// The spans' names of each request that a collector got.
    private func names(_ collector: HookServer) throws -> [[String]] {
        try collector.requests.map { request in
            let parts = request.components(separatedBy: "\r\n\r\n")
            #expect(parts[0].hasPrefix("POST /v1/traces HTTP/1.1\r\n"))
            let root = try #require(try JSONSerialization.jsonObject(with: Data(parts[1].utf8)) as? [String: Any])
            let resource = try #require((root["resourceSpans"] as? [[String: Any]])?.first)
            let scope = try #require((resource["scopeSpans"] as? [[String: Any]])?.first)
            return (scope["spans"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
        }
    }

    @Test func `nothing is traced unless somebody asks for it`() throws {
        let endpoint = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"]
        func read(_ more: [String: String], isOn: Bool = false) throws -> TraceConfiguration? {
            try TraceConfiguration(environment: endpoint.merging(more) { $1 }, service: "svc", isOn: isOn)
        }
        #expect(try read([:]) == nil && read(["OTEL_TRACES_EXPORTER": "none"], isOn: true) == nil)
        #expect(try read([:], isOn: true)?.otlp.endpoint.target == "/v1/traces")
        #expect(try TraceConfiguration(environment: ["OTEL_TRACES_EXPORTER": "otlp"], service: "svc") == nil)
        let own = try #require(
            try read([
                "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:1/own",
                "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5",
                "OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_SCHEDULE_DELAY": "7",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:1/other",
            ]))
        #expect(own.otlp.endpoint.host == "t" && own.otlp.endpoint.target == "/own" && own.otlp.interval == 7)
        #expect(own.sampler == Sampler(ratio: 0.5, followsParent: false) && own.capacity == 10 && own.batch == 10)
        for (name, value) in [
            ("TRACES_SAMPLER", "jaeger_remote"), ("BSP_MAX_QUEUE_SIZE", "0"), ("BSP_MAX_EXPORT_BATCH_SIZE", "many"),
            ("TRACES_EXPORTER", "zipkin"), ("EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ] {
            #expect(throws: OTLPConfigurationError.self) { try read(["OTEL_" + name: value], isOn: true) }
        }
    }

    @Test func `spans arrive in batches, trouble is waited out, and what is refused is counted`() async throws {
        let collector = try HookServer(statuses: [503, 200, 400, 200])
        defer { collector.stop() }
        let settings = try configuration(
            collector, ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_BSP_MAX_QUEUE_SIZE": "5"])
        let tracer = settings.tracer(), exporter = exporter(settings, tracer)
        for number in 0..<6 { tracer.begin("\(number)", parent: nil).end() }
        #expect(await exporter.export(isLast: false))
        #expect(await !exporter.export(isLast: false))
        #expect(await exporter.export(isLast: false))
        #expect(await !exporter.export(isLast: false), "nothing is left")
        #expect(try names(collector) == [["0", "1"], ["0", "1"], ["2", "3"], ["4"]])
        #expect(tracer.spans.dropped == 3)
        let registry = MetricsRegistry()
        registry.collect(tracer.spans)
        #expect(registry.prometheusText().contains("sallyport_otlp_spans_dropped_total 3\n"))
    }

    @Test func `a full batch is sent at once, and what is left when the program ends`() async throws {
        let collector = try HookServer(statuses: [200, 200])
        defer { collector.stop() }
        let settings = try configuration(
            collector, ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2", "OTEL_BSP_SCHEDULE_DELAY": "86400000"])
        let exports = Exports(traces: settings, registry: MetricsRegistry(), scope: "s", logger: quiet)
        let tracer = try #require(exports.tracer), export = exports.start()
        for number in 0..<2 { tracer.begin("\(number)", parent: nil).end() }
        #expect(try await eventually { collector.requests.count == 1 })
        tracer.begin("last", parent: nil).end()
        await Exports.end(export)
        #expect(try names(collector) == [["0", "1"], ["last"]])
    }

    @Test func `a collector that never answers does not keep a program from ending`() async throws {
        // It accepts, and says nothing.
        let collector = try HookServer(statuses: [])
        defer { collector.stop() }
        let settings = try configuration(collector, ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "100"])
        let exports = Exports(traces: settings, registry: MetricsRegistry(), scope: "s", logger: quiet)
        let tracer = try #require(exports.tracer), export = exports.start()
        tracer.begin("lost", parent: nil).end()
        await Exports.end(export)
        await export.value
        #expect(tracer.spans.dropped == 1)
    }
}
