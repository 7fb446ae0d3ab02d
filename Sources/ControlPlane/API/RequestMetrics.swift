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

    func note(_ method: HTTPMethod, _ route: String?, _ status: Int, nanoseconds: UInt64) {
        let key = Key(method: RequestMethod.known(method) ?? "OTHER", route: route ?? "unknown", status: status)
        let timer = timers.withLock { timers in
            if let timer = timers[key] { return timer }
            let timer = Timer(
                label: "server.http.request.duration",
                dimensions: [
                    ("http_method", key.method), ("http_route", key.route), ("http_status_code", String(status)),
                ])
            timers[key] = timer
            return timer
        }
        timer.recordNanoseconds(Int64(clamping: nanoseconds))
    }
}
