import FoundationEssentials
import JSON
import Spelling
import System
import TestSupport
import Testing
import Tracing

@testable import Execd

@Suite struct TelemetryTests {
    private func read(_ environment: [ExactName: String]) -> TelemetrySettings {
        TelemetrySettings(environment, version: "1")
    }

    private static let general: [ExactName: String] = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://10.0.0.9:4318/x/"]

    private func read(with more: [ExactName: String]) -> TelemetrySettings {
        read(Self.general.merging(more) { $1 })
    }

    @Test func `nothing is exported where no collector is named, and no spans unless somebody asks`() throws {
        #expect(read([:]).metrics == nil && read([:]).problems.isEmpty)
        #expect(read(with: [:]).metrics == (try CollectorAddress("http://10.0.0.9:4318/x/v1/metrics")))
        #expect(read(with: [:]).traces == nil && read(with: [:]).service == "opensandbox-execd-1")
        let both = read(with: ["OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none"])
        #expect(both.metrics == nil && both.traces?.target == "/x/v1/traces")
        #expect(read(with: ["OTEL_SDK_DISABLED": "true"]).metrics == nil)
        let own = read(with: ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://[fd00::9]/own"])
        #expect(own.metrics == (try CollectorAddress("http://[fd00::9]:80/own")))
        let bare = read(["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:1"])
        #expect(bare.metrics?.host == "127.0.0.1" && bare.metrics?.target == "/v1/metrics")
    }

    @Test(arguments: [
        ("OTEL_METRICS_EXPORTER", "console"), ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_HEADERS", "key=secret"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"), ("OTEL_METRIC_EXPORT_INTERVAL", "99999999999999999999"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"), ("OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS", "secret"),
    ])
    func `what is asked for and not done is told of, without its value`(name: String, value: String) {
        let problems = read(with: [ExactName(name): value]).problems
        #expect(problems.count == 1 && problems[0].hasPrefix(name) && !problems[0].contains("secret"))
    }

    @Test(arguments: [
        ("https://10.0.0.9:4318", "no TLS"), ("http://collector:4318", "no names"), ("10.0.0.9:4318", "http://"),
        ("http://10.0.0.9:0", "IP address"), ("http://10.0.0.9:65536", "IP address"),
        ("http://10.0.0.9:+80", "IP address"), ("http://10.0.0.9:", "IP address"),
        ("http://10.0.0.9:80:80", "IP address"), ("http://2130706433", "IP address"),
        ("http://u:p@10.0.0.9", "without user"), ("http://10.0.0.9/?k=p", "without user"),
        ("http://10.0.0.9/#p", "without user"),
        ("http://10.0.0.9\r\nx: p", "not a URL"), ("http://10.0.0.9/é", "not a URL"), ("http://", "IP address"),
        ("http://[::1", "IP address"), ("http://[::1]x", "IP address"), ("http://[10.0.0.9]", "IP address"),
        ("file:///etc/passwd", "http://"), ("http://10.0.0.9/" + String(repeating: "p", count: 3000), "not a URL"),
    ])
    func `a URL that names no collector within reach is refused, and not repeated`(url: String, word: String) {
        let settings = read(with: ["OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_EXPORTER": "otlp"])
        #expect(settings.metrics == nil && settings.traces == nil && settings.problems.count == 1)
        #expect(settings.problems.first?.contains(word) == true, "\(settings.problems)")
        #expect(settings.problems.allSatisfy { !$0.contains("p@") && !$0.contains("passwd") })
    }

    @Test func `series are counted in buckets, up to a limit`() {
        let meter = Meter()
        for milliseconds in [0.5, 1, 70_000] { meter.note("a", milliseconds: milliseconds, []) }
        let histogram = meter.all.first?.value
        #expect(histogram?.counts.first == 2 && histogram?.counts.last == 1 && histogram?.sum == 70_001.5)
        for number in 0..<600 { meter.note("b", milliseconds: 1, [.init("n", .number(number))]) }
        #expect(meter.all.count == Meter.limit)
    }

    @Test func `requests about files are operations, too`() {
        let meter = Meter()
        meter.note("POST", "/files/upload", status: 200, nanoseconds: 2_000_000)
        meter.note("DELETE", "/directories", status: 404, nanoseconds: 2_000_000)
        meter.note("GET", "/ping", status: 200, nanoseconds: 1)
        meter.note(nil, nil, status: 404, nanoseconds: 1)
        let operations = meter.all.keys.filter { $0.name == "execd.filesystem.operations.duration" }.map(\.attributes)
        #expect(
            Set(operations) == [
                [.init("operation", .text("upload")), .init("result", .text("success"))],
                [.init("operation", .text("delete_directories")), .init("result", .text("failure"))],
            ])
        #expect(meter.all.keys.filter { $0.name == "execd.http.request.duration" }.count == 4)
    }

    @Test func `an end is told once, also to who asks after it`() {
        let record = CommandRecord(id: "1", content: "", startedAt: 10), meter = Meter()
        let runner = CommandRunner(environment: CommandEnvironment([:]), meter: meter)
        runner.measure(record, as: .session)
        record.ended(.exited(0), failure: nil, at: 12)
        record.ended(.exited(0), failure: nil, at: 13)
        runner.measure(record, as: .isolated)
        #expect(Set(meter.all.keys.map(\.name)) == ["execd.execution.duration", "execd.isolation.run.duration"])
        #expect(meter.all.values.allSatisfy { $0.counts.reduce(0, +) == 1 })
    }

    @Test func `a collector gets metrics and spans of a client's trace, at the latest when execd ends`() async throws {
        let collector = try HookServer(statuses: [200])
        defer { collector.stop() }
        let trace = "0af7651916cd43dd8448eb211c80319c"
        let environment: [ExactName: String] = [
            "HOME": "/", "OPENSANDBOX_ID": "sb", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)",
            "OTEL_TRACES_EXPORTER": "otlp", "OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS": "team=x",
            "OTEL_METRIC_EXPORT_INTERVAL": "86400000", "OTEL_BSP_SCHEDULE_DELAY": "86400000",
        ]
        try await LiveExecd.run(environment: environment, token: "secret-token") { execd async throws in
            let said = try await execd.call(
                "POST", "/command?key=secret-query", #"{"command":"echo $TRACEPARENT; false # secret-command"}"#,
                headers: "traceparent: 00-\(trace)-b7ad6b7169203331-01\r\nX-EXECD-ACCESS-TOKEN: secret-token\r\n")
            #expect(said.contains("00-\(trace)-"), "the program is told of its trace")
            await execd.service.end()
        }
        var documents: [String: String] = [:]
        for request in collector.requests {
            let parts = request.components(separatedBy: "\r\n\r\n")
            documents[String(parts[0].split(separator: " ")[1])] = parts[1]
            #expect(throws: Never.self) { try JSONValue(Array(parts[1].utf8)) }
        }
        let metrics = documents["/v1/metrics"] ?? "", spans = documents["/v1/traces"] ?? ""
        for name in [
            "execd.http.request.duration", "execd.execution.duration", "execd.system.process.count",
            "execd.system.cpu.usage", "execd.system.memory.usage_bytes", "execd.system.network.io.bytes",
            "execd.system.network.connections.active", "execd.isolation.session.count", "opensandbox/execd",
        ] { #expect(metrics.contains(#""name":"\#(name)""#), "\(name)") }
        #expect(metrics.contains(#"{"key":"result","value":{"stringValue":"failure"}}"#))
        #expect(metrics.contains(#"{"key":"sandbox_id","value":{"stringValue":"sb"}}"#) && metrics.contains(#""team""#))
        #expect(spans.contains(#""traceId":"\#(trace)""#) && spans.contains(#""parentSpanId":"b7ad6b7169203331""#))
        #expect(spans.contains(#""name":"POST /command""#))
        #expect(!(metrics + spans).contains("secret"))
    }

    @Test func `what a sandbox is told that was made ahead is on its metrics`() async throws {
        let collector = try HookServer(statuses: [200])
        defer { collector.stop() }
        let environment: [ExactName: String] = [
            "HOME": "/", "EXECD_RUNTIME_INIT": "1", "OTEL_METRIC_EXPORT_INTERVAL": "86400000",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)",
        ]
        try await LiveExecd.run(environment: environment) { execd async throws in
            let told = try await execd.call(
                "POST", "/internal/init",
                #"{"sandboxId":"mine","generation":1,"telemetry":{"attributes":{"pool":"blue"}}}"#)
            #expect(told.hasPrefix("HTTP/1.1 200"))
            await execd.service.end()
        }
        let metrics = collector.requests.first ?? ""
        #expect(metrics.contains(#"{"key":"sandbox_id","value":{"stringValue":"mine"}}"#))
        #expect(metrics.contains(#"{"key":"pool","value":{"stringValue":"blue"}}"#))
    }

    @Test func `a collector that never answers holds up neither requests nor the end`() async throws {
        let collector = try HookServer(statuses: [])
        defer { collector.stop() }
        let environment: [ExactName: String] = [
            "HOME": "/", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)",
            "OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_SCHEDULE_DELAY": "1", "OTEL_METRIC_EXPORT_INTERVAL": "1",
        ]
        try await LiveExecd.run(environment: environment) { execd async throws in
            for _ in 0..<3 { #expect(try await execd.call("GET", "/ping").hasPrefix("HTTP/1.1 200")) }
            await execd.service.end()
        }
    }
}
