import NIOConcurrencyHelpers
import NIOCore

/// A pool for each event loop, made when its first connection comes.
final class Pools: Sendable {
    private let limits: ProxyLimits
    private let pools = NIOLockedValueBox<[ObjectIdentifier: NIOLoopBound<BackendPool>]>([:])

    init(limits: ProxyLimits) { self.limits = limits }

    /// Called on the loop.
    func pool(of loop: any EventLoop) -> BackendPool {
        pools.withLockedValue { pools in
            let key = ObjectIdentifier(loop)
            if let pool = pools[key] { return pool }
            let pool = NIOLoopBound(BackendPool(loop: loop, limits: limits), eventLoop: loop)
            pools[key] = pool
            return pool
        }.value
    }

    func closeAll() async {
        for pool in pools.withLockedValue({ Array($0.values) }) {
            try? await pool.eventLoop.submit { pool.value.closeAll() }.get()
        }
    }
}
