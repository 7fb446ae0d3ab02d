import HTTPServer
import HTTPWire
import Metrics
import NIOHTTP1
import Synchronization

/// Counts requests to the lifecycle API and how long they took, by method, route and status: the reference's
/// `server.http.request.duration`. There are as many series as there are routes and statuses, whatever clients send.
final class RequestMetrics: Sendable {
    private struct Key: Hashable {
        var method: String
        var route: String
        var status: Int
    }

    private let timers = Mutex<[Key: Timer]>([:])

    func note(_ answered: AnsweredRequest) {
        let key = Key(
            method: answered.method.flatMap(RequestMethod.known) ?? "OTHER", route: answered.route ?? "unknown",
            status: answered.status)
        let timer = timers.withLock { timers in
            if let timer = timers[key] { return timer }
            let timer = Timer(
                label: "server.http.request.duration",
                dimensions: [
                    ("http_method", key.method), ("http_route", key.route), ("http_status_code", String(key.status)),
                ])
            timers[key] = timer
            return timer
        }
        timer.recordNanoseconds(Int64(clamping: answered.nanoseconds))
    }
}
