import Metrics
import Synchronization

/// Counts connections and streams by protocol, for all gateways of the process.
enum IngressMetrics {
    private static let connections = connections(of: "http/1.1")
    private static let sessions = connections(of: "h2")
    private static let streams = Counter(label: "sallyport_ingress_http2_streams_total")
    private static let broken = Counter(label: "sallyport_ingress_http2_connection_errors_total")
    private static let failedHandshakes = Counter(label: "sallyport_ingress_tls_handshake_failures_total")
    private static let openSessions = OpenCount("sallyport_ingress_http2_open_connections")
    private static let openStreams = OpenCount("sallyport_ingress_http2_open_streams")

    private static func connections(of name: String) -> Counter {
        Counter(label: "sallyport_ingress_connections_total", dimensions: [("protocol", name)])
    }

    private struct Refusal: Hashable {
        var code: String
        var kind: RouteKind
    }

    private static let refusals = Mutex<[Refusal: Counter]>([:])

    /// Counts an answer in a sandbox's place.
    /// - Parameter code: one of ours.
    static func refused(_ code: String, _ kind: RouteKind) {
        let refusal = Refusal(code: code, kind: kind)
        let counter = refusals.withLock { refusals in
            if let counter = refusals[refusal] { return counter }
            let counter = Counter(
                label: "sallyport_ingress_refusals_total", dimensions: [("code", code), ("route", kind.rawValue)])
            refusals[refusal] = counter
            return counter
        }
        counter.increment()
    }

    static func connectionOpened() { connections.increment() }
    static func handshakeFailed() { failedHandshakes.increment() }

    static func sessionOpened() {
        sessions.increment()
        openSessions.change(by: 1)
    }

    static func sessionClosed(streams count: Int) {
        openSessions.change(by: -1)
        if count > 0 { openStreams.change(by: -count) }
    }

    /// Counts a connection that a protocol error has ended.
    static func sessionBroken() { broken.increment() }

    static func streamOpened() {
        streams.increment()
        openStreams.change(by: 1)
    }

    static func streamClosed() { openStreams.change(by: -1) }
}

/// A gauge of how many of something are open.
private final class OpenCount: Sendable {
    private let gauge: Gauge
    private let count = Mutex(0)

    init(_ label: String) { gauge = Gauge(label: label) }

    func change(by difference: Int) {
        count.withLock {
            $0 += difference
            gauge.record($0)
        }
    }
}
