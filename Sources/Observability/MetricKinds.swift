import CoreMetrics
import Synchronization

/// A counter, which only grows.
final class Counted: CounterHandler, Sendable {
    private let count = Atomic<Int64>(0)

    var total: Int64 { count.load(ordering: .relaxed) }
    func increment(by amount: Int64) { count.wrappingAdd(amount, ordering: .relaxed) }
    func reset() { count.store(0, ordering: .relaxed) }
}

/// A gauge, which is set to a value.
final class Gauged: MeterHandler, RecorderHandler, Sendable {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func record(_ value: Int64) { set(value) }
    func record(_ value: Double) { set(value) }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }

    private func add(_ amount: Double) {
        var seen = bits.load(ordering: .relaxed)
        while true {
            let next = (Double(bitPattern: seen) + amount).bitPattern
            let (exchanged, original) = bits.weakCompareExchange(expected: seen, desired: next, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }
}

/// A histogram: observations counted in buckets.
final class Distribution: RecorderHandler, TimerHandler, Sendable {
    struct Snapshot: Sendable {
        var buckets = [Int64](repeating: 0, count: Distribution.bounds.count)
        var count: Int64 = 0
        var sum: Double = 0
    }

    /// Upper bounds, from 100 microseconds to 60 seconds where the observations are times.
    static let bounds: [Double] = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]

    private let unit: Double
    private let state = Mutex(Snapshot())

    init(unit: Double) { self.unit = unit }

    func snapshot() -> Snapshot { state.withLock { $0 } }
    func record(_ value: Int64) { observe(Double(value)) }
    func record(_ value: Double) { observe(value) }
    func recordNanoseconds(_ duration: Int64) { observe(Double(duration)) }

    private func observe(_ raw: Double) {
        let value = raw * unit
        state.withLock { state in
            state.count += 1
            state.sum += value
            if let bucket = Self.bounds.firstIndex(where: { value <= $0 }) { state.buckets[bucket] += 1 }
        }
    }
}
