import Metrics
import NIOCore
import Synchronization
import System

/// Limits for one client and one sandbox at a gateway; nil for no limit.
package struct TrafficLimits: Hashable, Sendable {
    /// Requests per second of one client, for anything.
    package var clientRate: Int?
    /// The burst before the rate applies.
    package var clientBurst = 100
    /// Open connections of one client.
    package var clientConnections: Int?
    /// Permitted requests per second to one port of a sandbox.
    package var routeRate: Int?
    package var routeBurst = 200
    /// Concurrent requests, streams and tunnels to one sandbox.
    package var sandboxConcurrency: Int?
    /// How many clients, and how many routes, are remembered.
    package var capacity = 16384

    package init() {}

    package static let none = TrafficLimits()
}

/// Enforces the limits over all event loops. A client is an IPv4 address or an IPv6 /64.
final class TrafficBudget: Sendable {
    private struct State: Sendable {
        var clients: KeyedRateLimiter<ClientKey>?
        var routes: KeyedRateLimiter<String>?
        var connections: [ClientKey: Int] = [:]
        /// Exchanges under way for each sandbox incarnation.
        var load: [String: Int] = [:]
    }

    let limits: TrafficLimits
    private let clock: @Sendable () -> UInt64
    private let state: Mutex<State>

    private static let refused = Dictionary(
        uniqueKeysWithValues: ["client", "route", "concurrency", "connections"].map {
            ($0, Counter(label: "sallyport_ingress_limited_requests_total", dimensions: [("by", $0)]))
        })

    /// - Parameter clock: nanoseconds of a monotonic clock.
    init(
        _ limits: TrafficLimits, clock: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds }
    ) {
        self.limits = limits
        self.clock = clock
        func limiter<Key>(_ rate: Int?, _ burst: Int) -> KeyedRateLimiter<Key>? {
            rate.map { KeyedRateLimiter(Rate(burst: max(1, burst), perSecond: $0), capacity: limits.capacity) }
        }
        state = Mutex(
            State(
                clients: limiter(limits.clientRate, limits.clientBurst),
                routes: limiter(limits.routeRate, limits.routeBurst)))
    }

    /// Counts a request of a client.
    /// - Returns: seconds to wait if it is one too many.
    func request(of client: String?) -> Int? {
        guard limits.clientRate != nil else { return nil }
        let key = ClientKey(client)
        return Self.noted("client", state.withLock { Self.take(key, &$0.clients, clock()) })
    }

    /// Counts a permitted request for a port of a sandbox.
    func request(for sandbox: String, _ port: Int, incarnation: String) -> Int? {
        if let most = limits.sandboxConcurrency,
            state.withLock({ $0.load[incarnation, default: 0] }) >= most
        {
            return Self.noted("concurrency", 1)
        }
        guard limits.routeRate != nil else { return nil }
        return Self.noted("route", state.withLock { Self.take("\(sandbox)-\(port)", &$0.routes, clock()) })
    }

    private static func take<Key>(_ key: Key, _ limiter: inout KeyedRateLimiter<Key>?, _ now: UInt64) -> Int? {
        guard limiter?.take(key, at: now) == false else { return nil }
        return Int((limiter!.wait(key, at: now) + 999_999_999) / 1_000_000_000)
    }

    private static func noted(_ kind: String, _ wait: Int?) -> Int? {
        if wait != nil { refused[kind]!.increment() }
        return wait
    }

    // MARK: what is open

    /// - Returns: false if the client has reached its limit.
    func connect(_ client: String?) -> Bool {
        guard let most = limits.clientConnections else { return true }
        let key = ClientKey(client)
        let isAdmitted = state.withLock { state in
            guard state.connections[key, default: 0] < most else { return false }
            state.connections[key, default: 0] += 1
            return true
        }
        if !isAdmitted { Self.refused["connections"]!.increment() }
        return isAdmitted
    }

    func disconnect(_ client: String?) {
        guard limits.clientConnections != nil else { return }
        let key = ClientKey(client)
        state.withLock { Self.decrement(&$0.connections, key) }
    }

    func begin(_ incarnation: String) {
        guard limits.sandboxConcurrency != nil else { return }
        state.withLock { $0.load[incarnation, default: 0] += 1 }
    }

    func end(_ incarnation: String) {
        guard limits.sandboxConcurrency != nil else { return }
        state.withLock { Self.decrement(&$0.load, incarnation) }
    }

    private static func decrement<Key>(_ counts: inout [Key: Int], _ key: Key) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }
}
