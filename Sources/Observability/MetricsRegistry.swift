import CoreMetrics
import Synchronization

/// The program's metrics, kept in memory, rendered as Prometheus text and exported over OTLP.
///
/// The number of series is limited; those made beyond the limit are not counted.
package final class MetricsRegistry: MetricsFactory, Sendable {
    package struct Dimension: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// One series: a metric with its dimensions.
    package struct Key: Hashable, Comparable, Sendable {
        /// The name in the program: `egress.policy.denied_total`.
        package let label: String
        package let dimensions: [Dimension]
        /// The name in Prometheus form.
        let name: String
        let labels: String

        package init(_ label: String, _ dimensions: [Dimension] = []) {
            self.label = label
            self.dimensions = dimensions
            name = PrometheusText.name(label)
            labels = PrometheusText.labels(dimensions)
        }

        package static func < (left: Key, right: Key) -> Bool { (left.name, left.labels) < (right.name, right.labels) }
    }

    /// A value that is kept elsewhere and fetched when metrics are read.
    package struct Sample: Sendable {
        package enum Kind: Sendable { case counter, gauge }
        var key: Key
        var kind: Kind
        var value: Double

        package init(_ label: String, _ kind: Kind, _ value: Double, _ dimensions: [Dimension] = []) {
            key = Key(label, dimensions)
            self.kind = kind
            self.value = value
        }
    }

    private struct Series {
        var counters: [Key: Counted] = [:]
        var values: [Key: Gauged] = [:]
        var distributions: [Key: Distribution] = [:]
        var collectors: [@Sendable () -> [Sample]] = []

        var count: Int { counters.count + values.count + distributions.count }
    }

    /// The most series, and the most samples of one collector.
    package static let limit = 4096

    private let series = Mutex(Series())
    /// On every series.
    private let common: [Dimension]

    package init(common: [Dimension] = []) { self.common = common }

    private func key(_ label: String, _ dimensions: [(String, String)]) -> Key {
        Key(label, common + dimensions.map { Dimension($0.0, $0.1) })
    }

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        make(\.counters, key(label, dimensions)) { Counted() }
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        make(\.values, key(label, dimensions)) { Gauged() }
    }

    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else { return make(\.values, key(label, dimensions)) { Gauged() } }
        return make(\.distributions, key(label, dimensions)) { Distribution(unit: 1) }
    }

    /// Timers are in seconds, as Prometheus asks; swift-metrics records nanoseconds.
    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        make(\.distributions, key(label, dimensions)) { Distribution(unit: 1e-9) }
    }

    // Handlers are shared by name and live as long as the registry, so a counter that is created again continues.
    package func destroyCounter(_ handler: any CounterHandler) {}
    package func destroyMeter(_ handler: any MeterHandler) {}
    package func destroyRecorder(_ handler: any RecorderHandler) {}
    package func destroyTimer(_ handler: any TimerHandler) {}

    /// Calls `samples` whenever metrics are read. For things that come and go, such as sandboxes.
    package func collect(_ samples: @escaping @Sendable () -> [Sample]) {
        series.withLock { $0.collectors.append(samples) }
    }

    /// All series as they are now, sorted by name.
    func snapshot() -> MetricsSnapshot {
        let series = self.series.withLock { $0 }
        var snapshot = MetricsSnapshot()
        snapshot.counters = series.counters.map { ($0.key, Double($0.value.total)) }
        snapshot.gauges = series.values.map { ($0.key, $0.value.value) }
        snapshot.distributions = series.distributions.map { ($0.key, $0.value.snapshot()) }
        for collector in series.collectors {
            for sample in collector().prefix(Self.limit) {
                let key = Key(sample.key.label, common + sample.key.dimensions)
                switch sample.kind {
                case .counter: snapshot.counters.append((key, sample.value))
                case .gauge: snapshot.gauges.append((key, sample.value))
                }
            }
        }
        snapshot.counters.sort { $0.key < $1.key }
        snapshot.gauges.sort { $0.key < $1.key }
        snapshot.distributions.sort { $0.key < $1.key }
        return snapshot
    }

    /// All series as Prometheus text (exposition format 0.0.4), sorted by name.
    package func prometheusText() -> String {
        let snapshot = snapshot()
        var text = PrometheusText()
        for (key, value) in snapshot.counters { text.sample(key, .counter, value: value) }
        for (key, value) in snapshot.gauges { text.sample(key, .gauge, value: value) }
        for (key, distribution) in snapshot.distributions { text.histogram(key, distribution) }
        return text.rendered
    }

    private func make<Handler>(
        _ path: any WritableKeyPath<Series, [Key: Handler]> & Sendable, _ key: Key, _ new: () -> Handler
    ) -> Handler {
        series.withLock { series in
            if let existing = series[keyPath: path][key] { return existing }
            let made = new()
            if series.count < Self.limit { series[keyPath: path][key] = made }
            return made
        }
    }
}

/// The values of all series at one moment.
struct MetricsSnapshot {
    var counters: [(key: MetricsRegistry.Key, value: Double)] = []
    var gauges: [(key: MetricsRegistry.Key, value: Double)] = []
    var distributions: [(key: MetricsRegistry.Key, value: Distribution.Snapshot)] = []
}
