import HTTPServer
import HTTPWire
import NIOCore
import Synchronization
import Tracing

/// What the connections of one event loop have in common, and no other loop's. Nothing in it needs a lock.
final class LoopState {
    let policy: any ProxyPolicy
    let pool: BackendPool
    /// nil: nothing is traced.
    let tracer: Tracer?
    let accessLog: AccessLog
    var counts = RequestCounts()
    var ids = RequestIDs()

    init(policy: any ProxyPolicy, pool: BackendPool, tracer: Tracer?, accessLog: AccessLog) {
        self.policy = policy
        self.pool = pool
        self.tracer = tracer
        self.accessLog = accessLog
    }
}

/// A state for each event loop, made when its first connection comes.
final class LoopStates: Sendable {
    private let limits: ProxyLimits
    private let traffic: TrafficBudget?
    private let dialer: (any InsideDialer)?
    private let tracer: Tracer?
    private let accessLog: AccessLog
    private let http2Ports = HTTP2Ports()
    private let policy: @Sendable () -> any ProxyPolicy
    private let states = Mutex<[ObjectIdentifier: NIOLoopBound<LoopState>]>([:])

    /// - Parameter policy: makes one for each loop.
    init(
        limits: ProxyLimits, traffic: TrafficBudget? = nil, dialer: (any InsideDialer)? = nil, tracer: Tracer? = nil,
        accessLog: AccessLog, policy: @escaping @Sendable () -> any ProxyPolicy
    ) {
        self.limits = limits
        self.traffic = traffic
        self.dialer = dialer
        self.tracer = tracer
        self.accessLog = accessLog
        self.policy = policy
    }

    /// Called on the loop.
    func state(of loop: any EventLoop) -> LoopState {
        states.withLock { states in
            let key = ObjectIdentifier(loop)
            if let state = states[key] { return state }
            let state = NIOLoopBound(
                LoopState(
                    policy: policy(),
                    pool: BackendPool(
                        loop: loop, limits: limits, traffic: traffic, dialer: dialer, http2Ports: http2Ports),
                    tracer: tracer, accessLog: accessLog),
                eventLoop: loop)
            states[key] = state
            return state
        }.value
    }

    /// Closes, soon, what is open to a sandbox for an access that has ended.
    func cut(_ ended: EndedAccess) {
        for state in states.withLock({ Array($0.values) }) {
            state.eventLoop.execute { state.value.pool.cut(ended) }
        }
    }

    /// Closes the unused connections to sandboxes.
    func closeAll() async {
        for state in states.withLock({ Array($0.values) }) {
            try? await state.eventLoop.submit { state.value.pool.closeAll() }.get()
        }
    }
}
