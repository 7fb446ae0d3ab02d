import CoreMetrics
import Synchronization

/// The program's metrics, kept in memory and rendered as Prometheus text (exposition format 0.0.4).
public final class MetricsRegistry: MetricsFactory, Sendable {
    struct Key: Hashable, Comparable {
        let name: String
        let labels: String

        init(_ label: String, _ dimensions: [(String, String)]) {
            name = PrometheusText.name(label)
            labels = PrometheusText.labels(dimensions)
        }

        static func < (left: Key, right: Key) -> Bool { (left.name, left.labels) < (right.name, right.labels) }
    }

    struct Series {
        var counters: [Key: Counted] = [:]
        var values: [Key: Gauged] = [:]
        var distributions: [Key: Distribution] = [:]
    }

    private let series = Mutex(Series())

    public init() {}

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series.withLock { $0.counters.entry(Key(label, dimensions)) { Counted() } }
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series.withLock { $0.values.entry(Key(label, dimensions)) { Gauged() } }
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        let key = Key(label, dimensions)
        return series.withLock { series -> any RecorderHandler in
            if aggregate { return series.distributions.entry(key) { Distribution(unit: 1) } }
            return series.values.entry(key) { Gauged() }
        }
    }

    /// Timers are rendered in seconds, as Prometheus asks; swift-metrics records nanoseconds.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series.withLock { $0.distributions.entry(Key(label, dimensions)) { Distribution(unit: 1e-9) } }
    }

    // Handlers are shared by name and live as long as the registry: a counter re-made by name goes on where it was.
    public func destroyCounter(_ handler: any CounterHandler) {}
    public func destroyMeter(_ handler: any MeterHandler) {}
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    public func destroyTimer(_ handler: any TimerHandler) {}

    /// All series as Prometheus text, sorted by name.
    public func prometheusText() -> String {
        let series = self.series.withLock { $0 }
        var text = PrometheusText()
        for (key, counter) in series.counters.sorted(by: { $0.key < $1.key }) {
            text.sample(key, type: "counter", value: Double(counter.total))
        }
        for (key, gauge) in series.values.sorted(by: { $0.key < $1.key }) {
            text.sample(key, type: "gauge", value: gauge.value)
        }
        for (key, distribution) in series.distributions.sorted(by: { $0.key < $1.key }) {
            text.histogram(key, distribution.snapshot())
        }
        return text.rendered
    }
}

extension Dictionary {
    fileprivate mutating func entry(_ key: Key, make: () -> Value) -> Value {
        if let existing = self[key] { return existing }
        let made = make()
        self[key] = made
        return made
    }
}
