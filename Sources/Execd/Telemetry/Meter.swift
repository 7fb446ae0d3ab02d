import Synchronization
import Tracing

/// Times of requests and executions, counted in buckets, by the reference's names. As many series as there is room for: what
/// comes beyond is not counted.
final class Meter: Sendable {
    struct Series: Hashable, Sendable {
        var name: String
        var attributes: [SpanRecord.Attribute]
    }

    struct Histogram: Hashable, Sendable {
        /// One more than there are bounds.
        var counts = [Int](repeating: 0, count: Meter.bounds.count + 1)
        var sum = 0.0
    }

    enum Execution: String, Sendable {
        case command = "run_command"
        case session = "run_in_session"
        case code = "run_code"
        /// A run in an isolated session.
        case isolated
    }

    /// Milliseconds.
    static let bounds = [1.0, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]
    /// The most series.
    static let limit = 512

    private let series = Mutex<[Series: Histogram]>([:])

    var all: [Series: Histogram] { series.withLock { $0 } }

    func note(_ name: String, milliseconds: Double, _ attributes: [SpanRecord.Attribute]) {
        let key = Series(name: name, attributes: attributes)
        let bucket = Self.bounds.firstIndex { milliseconds <= $0 } ?? Self.bounds.count
        series.withLock { series in
            guard series.count < Self.limit || series[key] != nil else { return }
            series[key, default: Histogram()].counts[bucket] += 1
            series[key]!.sum += milliseconds
        }
    }

    func note(_ execution: Execution, isSuccess: Bool, milliseconds: Int64) {
        let isIsolated = execution == .isolated
        note(
            isIsolated ? "execd.isolation.run.duration" : "execd.execution.duration",
            milliseconds: Double(milliseconds),
            (isIsolated ? [] : [.init("operation", .text(execution.rawValue))]) + [Self.result(isSuccess)])
    }

    /// Notes a request, and one about files a second time.
    /// - Parameters:
    ///   - method: nil for one that nobody knows.
    ///   - route: its pattern; nil where it has none.
    func note(_ method: String?, _ route: String?, status: Int, nanoseconds: UInt64) {
        let milliseconds = Double(nanoseconds) / 1e6
        note(
            "execd.http.request.duration", milliseconds: milliseconds,
            [
                .init("http_method", .text(method ?? "OTHER")), .init("http_route", .text(route ?? "unknown")),
                .init("http_status_code", .number(status)),
            ])
        guard let route, let method, let operation = Self.operation(method, route) else { return }
        note(
            "execd.filesystem.operations.duration", milliseconds: milliseconds,
            [.init("operation", .text(operation)), Self.result(status < 400)])
    }

    private static func result(_ isSuccess: Bool) -> SpanRecord.Attribute {
        .init("result", .text(isSuccess ? "success" : "failure"))
    }

    /// What a route does with files: the last of its names, and the method where it has no more than one.
    private static func operation(_ method: String, _ route: String) -> String? {
        let names = route.split(separator: "/").filter { $0.first != "{" && $0 != "*" }
        guard let first = names.first, first == "files" || first == "directories" else { return nil }
        return names.count > 1 ? String(names[names.count - 1]) : "\(method.lowercased())_\(first)"
    }
}
