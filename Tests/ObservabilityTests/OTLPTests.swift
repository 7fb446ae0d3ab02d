import CoreMetrics
import Foundation
import HTTPClient
import Logging
import TestSupport
import Testing

@testable import Observability

@Suite struct OTLPTests {
    private func configuration(_ environment: [String: String], endpoint: String? = nil) throws -> OTLPConfiguration? {
        try OTLPConfiguration(environment: environment, service: "svc", endpoint: endpoint)
    }

    @Test func `nothing is exported where no endpoint is named, or where it is switched off`() throws {
        #expect(try configuration([:]) == nil)
        let base = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"]
        #expect(try configuration(base) != nil)
        #expect(try configuration(base.merging(["OTEL_SDK_DISABLED": "TRUE"]) { $1 }) == nil)
        #expect(try configuration(base.merging(["OTEL_METRICS_EXPORTER": "none"]) { $1 }) == nil)
    }

    @Test(
        arguments: [
            ("http://c:4318", nil, "http://c:4318", "/v1/metrics"),
            ("http://c:4318/x/", nil, "http://c:4318", "/x/v1/metrics"),
            ("http://c:4318", "http://m:1/own", "http://m:1", "/own"), (nil, "http://m:1", "http://m:1", "/v1/metrics"),
        ] as [(String?, String?, String, String)])
    func `the endpoint is the signal's own, or below the common one`(
        common: String?, own: String?, authority: String, path: String
    ) throws {
        var environment: [String: String] = [:]
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = common
        environment["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = own
        let endpoint = try #require(try configuration(environment)).endpoint
        #expect("\(endpoint)" == authority && endpoint.target == path)
    }

    @Test func `a setting of the program is used where no variable is`() throws {
        #expect(try configuration([:], endpoint: "http://s:4318")?.endpoint.host == "s")
        let environment = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"]
        #expect(try configuration(environment, endpoint: "http://s:4318")?.endpoint.host == "c")
    }

    @Test func `headers, times and attributes are read`() throws {
        let read = try #require(
            try configuration([
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%20c, d=e=f",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "1500", "OTEL_METRIC_EXPORT_INTERVAL": " 250 ",
                "OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=x", "OTEL_SERVICE_NAME": "mine",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca", "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/own",
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/c", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/k",
            ]))
        #expect(read.tls == ClientTLS(authorities: .file("/own"), certificate: .file("/c"), key: .file("/k")))
        #expect(read.headers.map(\.name) == ["a", "d"] && read.headers.map(\.value) == ["b c", "e=f"])
        #expect(read.timeout == 1500 && read.interval == 250)
        #expect(read.attributes == [.init("service.name", "mine"), .init("team", "x")])
        let named = try configuration([
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other",
        ])
        #expect(named?.attributes == [.init("service.name", "other")])
        // One process of several that share a configuration.
        var one = read
        one.nameService(suffix: "guard")
        #expect(one.attributes == [.init("service.name", "mine-guard"), .init("team", "x")])
    }

    @Test(arguments: [
        ("EXPORTER_OTLP_ENDPOINT", "c:4318"), ("EXPORTER_OTLP_HEADERS", "secret"),
        ("EXPORTER_OTLP_HEADERS", "a=secret%0d%0aB: c"), ("EXPORTER_OTLP_HEADERS", "Content-Length=7"),
        ("EXPORTER_OTLP_TIMEOUT", "0"),
        ("METRIC_EXPORT_INTERVAL", "soon"), ("RESOURCE_ATTRIBUTES", "a=%zz"), ("EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("METRICS_EXPORTER", "prometheus"),
    ])
    func `a wrong value is named by its variable and not repeated`(name: String, value: String) throws {
        var environment = ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"]
        environment["OTEL_" + name] = value
        do {
            _ = try configuration(environment)
            Issue.record("\(name) \(value) was taken")
        } catch let error as OTLPConfigurationError {
            #expect(error.variable == "OTEL_" + name && !"\(error)".contains("secret"))
        }
    }

    private func registry() -> MetricsRegistry {
        let registry = MetricsRegistry(common: [.init("sandbox_id", "sb")])
        registry.makeCounter(label: "egress.policy.denied_total", dimensions: [("a", "b")]).increment(by: 3)
        registry.makeCounter(label: "egress.policy.denied_total", dimensions: []).increment(by: 1)
        registry.makeMeter(label: "level", dimensions: []).set(0.5)
        registry.makeMeter(label: "nothing", dimensions: []).set(Double.nan)
        let timer = registry.makeTimer(label: "took", dimensions: [])
        timer.recordNanoseconds(200_000)
        timer.recordNanoseconds(90_000_000_000)
        registry.collect { [.init("rules", .gauge, 7, [.init("kind", "x")])] }
        return registry
    }

    @Test func `a document has the shape of the protobuf JSON mapping`() throws {
        let document = OTLPDocument(
            registry().snapshot(), resource: [.init("service.name", "svc")], scope: "opensandbox/egress", version: "1",
            start: 1_700_000_000_000_000_001, now: 1_700_000_060_000_000_002)
        let problems = OTLPShape.problems(document.encoded)
        #expect(problems.isEmpty, "\(problems)")
        let metrics = try OTLPShape.metrics(document.encoded)
        #expect(Set(metrics.keys) == ["egress.policy.denied_total", "level", "nothing", "took", "rules"])
        let sum = try #require(metrics["egress.policy.denied_total"]?["sum"] as? [String: Any])
        let points = try #require(sum["dataPoints"] as? [[String: Any]])
        #expect(Set(points.compactMap { $0["asInt"] as? String }) == ["1", "3"])
        #expect(sum["isMonotonic"] as? Bool == true && sum["aggregationTemporality"] as? Int == 2)
        let histogram = try #require(metrics["took"]?["histogram"] as? [String: Any])
        let point = try #require((histogram["dataPoints"] as? [[String: Any]])?.first)
        let counts = try #require(point["bucketCounts"] as? [String]).compactMap { Int($0) }
        #expect(counts.reduce(0, +) == 2 && counts[1] == 1 && counts.last == 1)
        #expect(((metrics["nothing"]?["gauge"] as? [String: Any])?["dataPoints"] as? [Any])?.isEmpty == true)
    }

    @Test func `a collector gets the document, trouble is waited out, and a refusal is final`() async throws {
        let collector = try HookServer(statuses: [503, 200, 400, 200])
        defer { collector.stop() }
        var configuration = try #require(
            try self.configuration([
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:\(collector.port)",
                "OTEL_EXPORTER_OTLP_HEADERS": "k=v",
            ]))
        configuration.interval = 1
        let exporter = OTLPExporter(
            configuration, registry: registry(), scope: "opensandbox/egress", version: "1",
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(await exporter.export())
        #expect(await !exporter.export())
        #expect(await exporter.export())
        #expect(collector.requests.count == 4)
        for request in collector.requests {
            let parts = request.components(separatedBy: "\r\n\r\n")
            #expect(parts[0].hasPrefix("POST /v1/metrics HTTP/1.1\r\n"))
            #expect(parts[0].contains("\r\nContent-Type: application/json\r\n") && parts[0].contains("\r\nk: v\r\n"))
            let problems = OTLPShape.problems(Array(parts[1].utf8))
            #expect(problems.isEmpty, "\(problems)")
        }
    }

    @Test func `a registry holds no more series than its limit`() {
        let registry = MetricsRegistry()
        for number in 0..<MetricsRegistry.limit + 100 {
            registry.makeCounter(label: "c", dimensions: [("n", "\(number)")]).increment(by: 1)
        }
        #expect(registry.snapshot().counters.count == MetricsRegistry.limit)
    }
}

/// What a collector makes sure of, written down from opentelemetry-proto's metrics.proto and the OTLP specification.
private enum OTLPShape {
    static func metrics(_ bytes: [UInt8]) throws -> [String: [String: Any]] {
        let root = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
        let resource = (root?["resourceMetrics"] as? [[String: Any]])?.first
        let scope = (resource?["scopeMetrics"] as? [[String: Any]])?.first
        let list = scope?["metrics"] as? [[String: Any]] ?? []
        return Dictionary(uniqueKeysWithValues: list.map { ($0["name"] as? String ?? "", $0) })
    }

    static func problems(_ bytes: [UInt8]) -> [String] {
        var problems: [String] = []
        func check(_ condition: Bool, _ text: String) { if !condition { problems.append(text) } }
        func isNumber64(_ value: Any?) -> Bool { (value as? String).flatMap { UInt64($0) } != nil }
        func attributes(_ value: Any?, _ place: String) {
            for item in value as? [[String: Any]] ?? [[:]] {
                check(item["key"] is String, "\(place): an attribute has a key")
                check((item["value"] as? [String: Any])?["stringValue"] is String, "\(place): and an AnyValue")
            }
        }
        guard let root = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any],
            let resources = root["resourceMetrics"] as? [[String: Any]], Set(root.keys) == ["resourceMetrics"]
        else { return ["no resourceMetrics"] }
        for resource in resources {
            attributes((resource["resource"] as? [String: Any])?["attributes"], "resource")
            for scope in resource["scopeMetrics"] as? [[String: Any]] ?? [[:]] {
                check((scope["scope"] as? [String: Any])?["name"] is String, "a scope has a name")
                for metric in scope["metrics"] as? [[String: Any]] ?? [[:]] {
                    let name = metric["name"] as? String ?? "?"
                    let data = ["sum", "gauge", "histogram"].filter { metric[$0] != nil }
                    check(data.count == 1, "\(name): exactly one kind of data")
                    check(
                        Set(metric.keys).isSubset(of: ["name", "unit", "sum", "gauge", "histogram"]), "\(name): fields")
                    let body = metric[data.first ?? ""] as? [String: Any] ?? [:]
                    if data.first != "gauge" {
                        check([1, 2].contains(body["aggregationTemporality"] as? Int), "\(name): temporality")
                    }
                    for point in body["dataPoints"] as? [[String: Any]] ?? [[:]] {
                        attributes(point["attributes"], name)
                        check(isNumber64(point["timeUnixNano"]), "\(name): the time is a text of 64 bits")
                        if data.first == "histogram" {
                            let bounds = point["explicitBounds"] as? [Double] ?? []
                            let counts = point["bucketCounts"] as? [String] ?? []
                            check(counts.count == bounds.count + 1 && bounds == bounds.sorted(), "\(name): buckets")
                            check(
                                counts.compactMap { UInt64($0) }.reduce(0, +)
                                    == UInt64(point["count"] as? String ?? ""),
                                "\(name): buckets add up to the count")
                            check(isNumber64(point["startTimeUnixNano"]), "\(name): start")
                        } else {
                            check((point["asInt"] == nil) != (point["asDouble"] == nil), "\(name): one value")
                            if let value = point["asInt"] {
                                check(isNumber64(value), "\(name): whole numbers are texts")
                            }
                        }
                    }
                }
            }
        }
        return problems
    }
}
