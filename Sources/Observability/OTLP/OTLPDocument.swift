import FoundationEssentials

/// A metrics export in OTLP's JSON: opentelemetry-proto's `ExportMetricsServiceRequest` by the protobuf JSON mapping,
/// with numbers of 64 bits as texts and enumerations as numbers (OTLP specification 1.x, "JSON Protobuf Encoding").
struct OTLPDocument: Encodable, Sendable {
    struct Value: Encodable { var stringValue: String }
    struct Attribute: Encodable {
        var key: String
        var value: Value

        init(_ dimension: MetricsRegistry.Dimension) {
            key = dimension.name
            value = Value(stringValue: dimension.value)
        }
    }
    struct Resource: Encodable { var attributes: [Attribute] }
    struct Scope: Encodable {
        var name: String
        var version: String
    }
    struct NumberPoint: Encodable {
        var attributes: [Attribute]
        var startTimeUnixNano: String?
        var timeUnixNano: String
        var asInt: String?
        var asDouble: Double?
    }
    struct HistogramPoint: Encodable {
        var attributes: [Attribute]
        var startTimeUnixNano: String
        var timeUnixNano: String
        var count: String
        var sum: Double
        /// One more than there are bounds. Not cumulative, unlike in Prometheus.
        var bucketCounts: [String]
        var explicitBounds: [Double]
    }
    /// AGGREGATION_TEMPORALITY_CUMULATIVE
    private static let cumulative = 2
    struct Sum: Encodable {
        var dataPoints: [NumberPoint]
        var aggregationTemporality = cumulative
        var isMonotonic = true
    }
    struct Gauge: Encodable { var dataPoints: [NumberPoint] }
    struct Histogram: Encodable {
        var dataPoints: [HistogramPoint]
        var aggregationTemporality = cumulative
    }
    struct Metric: Encodable {
        var name: String
        var unit: String?
        var sum: Sum?
        var gauge: Gauge?
        var histogram: Histogram?
    }
    struct ScopeMetrics: Encodable {
        var scope: Scope
        var metrics: [Metric]
    }
    struct ResourceMetrics: Encodable {
        var resource: Resource
        var scopeMetrics: [ScopeMetrics]
    }

    var resourceMetrics: [ResourceMetrics]

    /// - Parameters:
    ///   - start, now: nanoseconds since 1970; counts began at `start`.
    init(
        _ snapshot: MetricsSnapshot, resource: [MetricsRegistry.Dimension], scope: String, version: String,
        start: UInt64, now: UInt64
    ) {
        let begin = "\(start)", time = "\(now)"
        var metrics: [Metric] = []
        for (name, series) in Self.byName(snapshot.counters) {
            let points = series.map { key, value in
                NumberPoint(
                    attributes: key.dimensions.map(Attribute.init), startTimeUnixNano: begin, timeUnixNano: time,
                    asInt: Self.whole(value), asDouble: Self.whole(value) == nil ? value : nil)
            }
            metrics.append(Metric(name: name, sum: Sum(dataPoints: points)))
        }
        for (name, series) in Self.byName(snapshot.gauges) {
            // JSON has no infinity and no NaN.
            let points = series.filter { $0.value.isFinite }.map { key, value in
                NumberPoint(
                    attributes: key.dimensions.map(Attribute.init), timeUnixNano: time, asDouble: value)
            }
            metrics.append(Metric(name: name, gauge: Gauge(dataPoints: points)))
        }
        for (name, series) in Self.byName(snapshot.distributions) {
            let points = series.map { key, value in
                let above = value.count - value.buckets.reduce(0, +)
                return HistogramPoint(
                    attributes: key.dimensions.map(Attribute.init), startTimeUnixNano: begin, timeUnixNano: time,
                    count: "\(value.count)", sum: value.sum, bucketCounts: (value.buckets + [above]).map { "\($0)" },
                    explicitBounds: Distribution.bounds)
            }
            metrics.append(Metric(name: name, unit: "s", histogram: Histogram(dataPoints: points)))
        }
        resourceMetrics = [
            ResourceMetrics(
                resource: Resource(attributes: resource.map(Attribute.init)),
                scopeMetrics: [ScopeMetrics(scope: Scope(name: scope, version: version), metrics: metrics)])
        ]
    }

    var encoded: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return (try? encoder.encode(self)).map { Array($0) } ?? []
    }

    private static func whole(_ value: Double) -> String? { Int64(exactly: value).map { "\($0)" } }

    /// Groups series into metrics by name, in order.
    private static func byName<Number>(
        _ series: [(key: MetricsRegistry.Key, value: Number)]
    ) -> [(String, [(key: MetricsRegistry.Key, value: Number)])] {
        var groups: [(String, [(key: MetricsRegistry.Key, value: Number)])] = []
        for item in series {
            if groups.last?.0 == item.key.label {
                groups[groups.count - 1].1.append(item)
            } else {
                groups.append((item.key.label, [item]))
            }
        }
        return groups
    }
}
