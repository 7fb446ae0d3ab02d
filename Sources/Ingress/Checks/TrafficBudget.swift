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
    /// The largest request body in bytes. Nothing is stored of a body, so there need not be a limit.
    package var maxBody: Int?
    /// How many clients, and how many routes, are remembered.
    package var capacity = 16384

    package init() {}

    package static let none = TrafficLimits()
}

/// Enforces the limits over all event loops; they may change at any time. A client is an IPv4 address or an IPv6 /64.
final class TrafficBudget: Sendable {
    private struct State: Sendable {
        var limits: TrafficLimits
        var clients: KeyedRateLimiter<ClientKey>?
        var routes: KeyedRateLimiter<String>?
        var connections: [ClientKey: Int] = [:]
        /// Exchanges under way for each sandbox incarnation.
        var load: [String: Int] = [:]

        init(_ limits: TrafficLimits) {
            self.limits = limits
            clients = Self.limiter(limits.clientRate, limits.clientBurst, limits)
            routes = Self.limiter(limits.routeRate, limits.routeBurst, limits)
        }

        static func limiter<Key>(
            _ rate: Int?, _ burst: Int, _ limits: TrafficLimits
        ) -> KeyedRateLimiter<Key>? {
            rate.map { KeyedRateLimiter(Rate(burst: max(1, burst), perSecond: $0), capacity: limits.capacity) }
        }
    }

    /// Which limits there are, so that a request takes no lock for those that there are not.
    private struct Present: OptionSet {
        let rawValue: UInt8
        static let clientRate = Present(rawValue: 1)
        static let routeRate = Present(rawValue: 2)
        static let concurrency = Present(rawValue: 4)

        init(rawValue: UInt8) { self.rawValue = rawValue }

        init(_ limits: TrafficLimits) {
            self = []
            if limits.clientRate != nil { insert(.clientRate) }
            if limits.routeRate != nil { insert(.routeRate) }
            if limits.sandboxConcurrency != nil { insert(.concurrency) }
        }
    }

    private let clock: @Sendable () -> UInt64
    private let state: Mutex<State>
    private let presentBits: Atomic<UInt8>
    private let bodyLimit: Atomic<Int>

    private static let refused = Dictionary(
        uniqueKeysWithValues: ["client", "route", "concurrency", "connections"].map {
            ($0, Counter(label: "sallyport_ingress_limited_requests_total", dimensions: [("by", $0)]))
        })

    /// - Parameter clock: nanoseconds of a monotonic clock.
    init(
        _ limits: TrafficLimits, clock: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds }
    ) {
        self.clock = clock
        state = Mutex(State(limits))
        presentBits = Atomic(Present(limits).rawValue)
        bodyLimit = Atomic(limits.maxBody ?? .max)
    }

    private var present: Present { Present(rawValue: presentBits.load(ordering: .relaxed)) }

    /// The largest request body in bytes; nil for no limit.
    var maxBody: Int? {
        let most = bodyLimit.load(ordering: .relaxed)
        return most == .max ? nil : most
    }

    /// Sets other limits. Where a rate stays the same, what clients have used of it stays used. Exchanges that began without a
    /// limit of concurrency are not counted to one.
    func change(_ limits: TrafficLimits) {
        state.withLock { state in
            let fresh = State(limits), old = state.limits
            if (old.clientRate, old.clientBurst) != (limits.clientRate, limits.clientBurst) {
                state.clients = fresh.clients
            }
            if (old.routeRate, old.routeBurst) != (limits.routeRate, limits.routeBurst) { state.routes = fresh.routes }
            state.limits = limits
            presentBits.store(Present(limits).rawValue, ordering: .relaxed)
            bodyLimit.store(limits.maxBody ?? .max, ordering: .relaxed)
        }
    }

    /// Counts a request of a client.
    /// - Returns: seconds to wait if it is one too many.
    func request(of client: String?) -> Int? {
        guard present.contains(.clientRate) else { return nil }
        let key = ClientKey(client)
        return Self.noted("client", state.withLock { Self.take(key, &$0.clients, clock()) })
    }

    /// Counts a permitted request for a port of a sandbox.
    func request(for sandbox: String, _ port: Int, incarnation: String) -> Int? {
        let present = present
        if present.contains(.concurrency),
            state.withLock({ $0.load[incarnation, default: 0] >= $0.limits.sandboxConcurrency ?? .max })
        {
            return Self.noted("concurrency", 1)
        }
        guard present.contains(.routeRate) else { return nil }
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

    /// Counts a connection, whether there is a limit or not: one that is set later holds for all that are open.
    /// - Returns: false if the client has reached its limit.
    func connect(_ client: String?) -> Bool {
        let key = ClientKey(client)
        let isAdmitted = state.withLock { state in
            guard state.connections[key, default: 0] < state.limits.clientConnections ?? .max else { return false }
            state.connections[key, default: 0] += 1
            return true
        }
        if !isAdmitted { Self.refused["connections"]!.increment() }
        return isAdmitted
    }

    func disconnect(_ client: String?) {
        let key = ClientKey(client)
        state.withLock { Self.decrement(&$0.connections, key) }
    }

    /// Counts an exchange where concurrency has a limit.
    /// - Returns: whether it was counted, and `end` has to be called.
    @discardableResult
    func begin(_ incarnation: String) -> Bool {
        guard present.contains(.concurrency) else { return false }
        state.withLock { $0.load[incarnation, default: 0] += 1 }
        return true
    }

    func end(_ incarnation: String) {
        state.withLock { Self.decrement(&$0.load, incarnation) }
    }

    private static func decrement<Key>(_ counts: inout [Key: Int], _ key: Key) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }
}
