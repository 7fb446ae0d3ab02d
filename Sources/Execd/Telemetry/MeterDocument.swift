import JSON
import Tracing

/// An export of execd's metrics in OTLP's JSON: opentelemetry-proto's `ExportMetricsServiceRequest` by the protobuf JSON mapping (OTLP
/// specification 1.x, "JSON Protobuf Encoding"), cumulative.
struct MeterDocument: Sendable {
    /// A value of this moment, or a count that only grows.
    struct Sample: Sendable {
        var name: String
        var value: Double
        var attributes: [SpanRecord.Attribute] = []
        var isCount = false
    }

    var histograms: [Meter.Series: Meter.Histogram]
    var samples: [Sample]
    var service: String
    var version: String
    /// On every point.
    var attributes: [SpanRecord.Attribute]
    /// Nanoseconds since 1970; counts began at `start`.
    var start: UInt64
    var now: UInt64

    /// AGGREGATION_TEMPORALITY_CUMULATIVE
    private static let cumulative = JSONValue.integer(2)

    var encoded: [UInt8] {
        let scope: JSONValue = .object([
            "name": .string("opensandbox/execd"), "version": .string(version),
        ])
        let metrics: JSONValue = .object(["scope": scope, "metrics": .array(timeMetrics + sampleMetrics)])
        let name = SpanDocument.attributes([.init("service.name", .text(service))])
        let resource: JSONValue = .object(["attributes": name])
        let all: JSONValue = .object(["resource": resource, "scopeMetrics": .array([metrics])])
        return JSONValue.object(["resourceMetrics": .array([all])]).encoded
    }

    private var timeMetrics: [JSONValue] {
        Dictionary(grouping: histograms) { $0.key.name }.sorted { $0.key < $1.key }.map { name, series in
            let points = series.map { point($0.key.attributes, $0.value) }
            let histogram: JSONValue = .object([
                "dataPoints": .array(points), "aggregationTemporality": Self.cumulative,
            ])
            return .object(["name": .string(name), "unit": .string("ms"), "histogram": histogram])
        }
    }

    private var sampleMetrics: [JSONValue] {
        // JSON has no infinity and no NaN.
        let finite = samples.filter(\.value.isFinite)
        return Dictionary(grouping: finite, by: \.name).sorted { $0.key < $1.key }.map { name, samples in
            var data: JSONObject = ["dataPoints": .array(samples.map(point))]
            let isCount = samples.contains(where: \.isCount)
            if isCount {
                data.set("aggregationTemporality", Self.cumulative)
                data.set("isMonotonic", .boolean(true))
            }
            return .object(["name": .string(name), isCount ? "sum" : "gauge": .object(data)])
        }
    }

    private func point(_ own: [SpanRecord.Attribute], _ histogram: Meter.Histogram) -> JSONValue {
        var point = frame(own)
        point.set("count", .string("\(histogram.counts.reduce(0, +))"))
        point.set("sum", .number(histogram.sum))
        point.set("bucketCounts", .array(histogram.counts.map { .string("\($0)") }))
        point.set("explicitBounds", .array(Meter.bounds.map { .number($0) }))
        return .object(point)
    }

    private func point(_ sample: Sample) -> JSONValue {
        var point = frame(sample.attributes)
        point.set("asDouble", .number(sample.value))
        return .object(point)
    }

    private func frame(_ own: [SpanRecord.Attribute]) -> JSONObject {
        [
            "attributes": SpanDocument.attributes(attributes + own),
            "startTimeUnixNano": .string("\(start)"), "timeUnixNano": .string("\(now)"),
        ]
    }
}
