import Metrics

/// Counts the requests of one event loop by the kind of their route and the class of their status: at most 30 series, made when
/// the first of their kind comes. Its counters are found without a lock, a hash or memory of their own.
struct RequestCounts {
    private struct Series {
        let duration: Timer
        let bytesIn: Counter
        let bytesOut: Counter

        init(_ kind: RouteKind, _ status: String) {
            let dimensions = [("route", kind.rawValue), ("status", status)]
            duration = Timer(label: "sallyport_ingress_request_duration_seconds", dimensions: dimensions)
            bytesIn = Counter(label: "sallyport_ingress_request_bytes_total", dimensions: dimensions)
            bytesOut = Counter(label: "sallyport_ingress_response_bytes_total", dimensions: dimensions)
        }
    }

    /// Status classes; the first is for connections that ended without an answer.
    private static let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"]

    private var series = [Series?](repeating: nil, count: RouteKind.allCases.count * classes.count)

    mutating func note(_ record: RequestRecord, nanoseconds: UInt64) {
        let status = Self.place(record.status)
        let place = record.kind.place * Self.classes.count + status
        let series = series[place] ?? Series(record.kind, Self.classes[status])
        self.series[place] = series
        series.duration.recordNanoseconds(Int64(clamping: nanoseconds))
        if record.bytesIn > 0 { series.bytesIn.increment(by: record.bytesIn) }
        if record.bytesOut > 0 { series.bytesOut.increment(by: record.bytesOut) }
    }

    /// A sandbox may answer with any three digits.
    private static func place(_ status: Int?) -> Int {
        guard let status else { return 0 }
        return (1..<classes.count).contains(status / 100) ? status / 100 : classes.count - 1
    }
}

extension RouteKind {
    fileprivate var place: Int {
        switch self {
        case .header: 0
        case .host: 1
        case .path: 2
        case .proxy: 3
        case .none: 4
        }
    }
}
