import NIOCore
import NIOHTTP1
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// The connections of one event loop to sandboxes. An unused one waits here for the next request to the same address and
/// incarnation; when an address gets another incarnation, what belonged to the old one is closed.
final class BackendPool {
    private struct Idle {
        let connection: BackendConnection
        let since: NIODeadline
    }
    /// A class, so that a list of hundreds is never copied on its way through the dictionary.
    private final class Bucket {
        let incarnation: String
        var idle: [Idle] = []

        init(_ incarnation: String) { self.incarnation = incarnation }
    }

    let loop: any EventLoop
    private let limits: ProxyLimits
    private let traffic: TrafficBudget?
    /// nil: a server that listens on a sandbox's loopback only is not reached.
    private let dialer: (any InsideDialer)?
    private var dials: [ObjectIdentifier: InsideDial] = [:]
    private var buckets: [Backend.Address: Bucket] = [:]
    /// Of all buckets.
    private var idleCount = 0
    /// Every connection that carries an exchange or a tunnel, or is being opened for one.
    private var inUse: [ObjectIdentifier: BackendConnection] = [:]
    private var sweeping = false

    init(
        loop: any EventLoop, limits: ProxyLimits, traffic: TrafficBudget? = nil, dialer: (any InsideDialer)? = nil
    ) {
        self.loop = loop
        self.traffic = traffic
        self.dialer = dialer
        self.limits = limits
    }

    /// An unused connection, the latest first.
    func take(_ backend: Backend) -> BackendConnection? {
        guard let bucket = buckets[backend.address] else {
            buckets[backend.address] = Bucket(backend.incarnation)
            return nil
        }
        guard bucket.incarnation == backend.incarnation else {
            drop(bucket, at: backend.address)
            buckets[backend.address] = Bucket(backend.incarnation)
            return nil
        }
        guard let connection = bucket.idle.popLast()?.connection else { return nil }
        idleCount -= 1
        connection.epoch = backend.epoch
        use(connection)
        return connection
    }

    func use(_ connection: BackendConnection) {
        guard inUse.updateValue(connection, forKey: ObjectIdentifier(connection)) == nil else { return }
        traffic?.begin(connection.incarnation)
    }

    /// The connection carries nothing more.
    func forget(_ connection: BackendConnection) {
        guard inUse.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        traffic?.end(connection.incarnation)
    }

    /// Closes what is open to a sandbox and was opened for what is worthless now.
    func cut(_ ended: EndedAccess) {
        for connection in Array(inUse.values) where connection.incarnation == ended.incarnation {
            if ended.epoch == nil || connection.epoch != ended.epoch { connection.cut() }
        }
        for dial in dials.values where dial.incarnation == ended.incarnation && dial.epoch != ended.epoch {
            dial.hasEnded = true
        }
        guard ended.epoch == nil else { return }
        for (address, bucket) in buckets where bucket.incarnation == ended.incarnation { drop(bucket, at: address) }
    }

    private func drop(_ bucket: Bucket, at address: Backend.Address) {
        buckets[address] = nil
        idleCount -= bucket.idle.count
        for idle in bucket.idle { idle.connection.close() }
    }

    /// Keeps a connection whose exchange is complete, or closes it. Since none is kept for longer than `poolTimeout`, there
    /// are never more of them than were in use at once in that time.
    func put(_ connection: BackendConnection) {
        forget(connection)
        // The sweep forgets an address of which every connection is in use.
        let bucket = buckets[connection.address] ?? Bucket(connection.incarnation)
        guard bucket.incarnation == connection.incarnation, bucket.idle.count < limits.poolSize,
            idleCount < limits.poolTotal
        else { return connection.close() }
        buckets[connection.address] = bucket
        idleCount += 1
        bucket.idle.append(Idle(connection: connection, since: .now()))
        sweepLater()
    }

    /// An unused connection has ended.
    func remove(_ connection: BackendConnection) {
        guard let bucket = buckets[connection.address],
            let index = bucket.idle.firstIndex(where: { $0.connection === connection })
        else { return }
        bucket.idle.remove(at: index)
        idleCount -= 1
    }

    func connect(_ backend: Backend) -> EventLoopFuture<BackendConnection> {
        let address: SocketAddress
        do {
            switch backend.address {
            case .tcp(let host, let port): address = try SocketAddress(ipAddress: host, port: port)
            case .unix(let path): address = try SocketAddress(unixDomainSocketPath: path)
            }
        } catch { return loop.makeFailedFuture(error) }
        let bootstrap = bootstrap(for: backend)
        var channel = bootstrap.connect(to: address)
        if case .tcp(_, let port) = backend.address {
            let pool = NIOLoopBound(self, eventLoop: loop)
            channel = channel.flatMapError { error in
                guard (error as? IOError)?.errnoCode == ECONNREFUSED else {
                    return pool.eventLoop.makeFailedFuture(error)
                }
                return pool.value.dialInside(backend, port)
            }
        }
        return channel.flatMapThrowing { try $0.pipeline.syncOperations.handler(type: BackendConnection.self) }
    }

    private func bootstrap(for backend: Backend) -> ClientBootstrap {
        let pool = NIOLoopBound(self, eventLoop: loop)
        let limits = self.limits
        return ClientBootstrap(group: loop)
            .connectTimeout(limits.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try BackendConnection.configure(channel, backend, pool: pool.value, limits: limits)
                }
            }
    }

    /// The sandbox's address refuses: what listens there may listen on loopback only.
    private func dialInside(_ backend: Backend, _ port: Int) -> EventLoopFuture<any Channel> {
        guard let dialer else { return loop.makeFailedFuture(DialFailure.refusedAtAddress) }
        let dial = InsideDial(backend)
        dials[ObjectIdentifier(dial)] = dial
        let bound = NIOLoopBound((self, dial), eventLoop: loop)
        return dialer.dial(inside: backend.incarnation, port: port, on: loop).flatMapErrorThrowing { error in
            bound.value.0.dials[ObjectIdentifier(bound.value.1)] = nil
            throw error is IOError ? error : DialFailure.refusedAtAddress
        }.flatMap { descriptor in
            let (pool, dial) = bound.value
            pool.dials[ObjectIdentifier(dial)] = nil
            guard !dial.hasEnded else {
                close(descriptor)
                return pool.loop.makeFailedFuture(DialFailure.ended)
            }
            return pool.bootstrap(for: backend).withConnectedSocket(descriptor)
        }
    }

    func closeAll() {
        for (address, bucket) in buckets { drop(bucket, at: address) }
    }

    private func sweepLater() {
        guard !sweeping else { return }
        sweeping = true
        loop.assumeIsolated().scheduleTask(in: .seconds(1)) { [weak self] in self?.sweep() }
    }

    private func sweep() {
        sweeping = false
        let oldest = NIODeadline.now() - limits.poolTimeout
        for (address, bucket) in buckets {
            let expired = bucket.idle.prefix { $0.since < oldest }
            if expired.count == bucket.idle.count {
                buckets[address] = nil
            } else {
                bucket.idle.removeFirst(expired.count)
            }
            idleCount -= expired.count
            for idle in expired { idle.connection.close() }
        }
        if !buckets.isEmpty { sweepLater() }
    }
}
