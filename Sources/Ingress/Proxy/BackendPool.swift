import NIOCore
import NIOHTTP1
import NIOPosix

/// The connections of one event loop to sandboxes. An unused one waits here for the next request to the same address and
/// incarnation; when an address gets another incarnation, what belonged to the old one is closed.
final class BackendPool {
    private struct Idle {
        let connection: BackendConnection
        let since: NIODeadline
    }
    private struct Bucket {
        var incarnation: String
        var idle: [Idle] = []
    }

    let loop: any EventLoop
    private let limits: ProxyLimits
    private let traffic: TrafficBudget?
    private var buckets: [Backend.Address: Bucket] = [:]
    /// Every connection that carries an exchange or a tunnel, or is being opened for one.
    private var inUse: [ObjectIdentifier: BackendConnection] = [:]
    private var sweeping = false

    init(loop: any EventLoop, limits: ProxyLimits, traffic: TrafficBudget? = nil) {
        self.loop = loop
        self.traffic = traffic
        self.limits = limits
    }

    /// An unused connection, the latest first.
    func take(_ backend: Backend) -> BackendConnection? {
        guard let bucket = buckets[backend.address] else {
            buckets[backend.address] = Bucket(incarnation: backend.incarnation)
            return nil
        }
        guard bucket.incarnation == backend.incarnation else {
            buckets[backend.address] = Bucket(incarnation: backend.incarnation)
            for idle in bucket.idle { idle.connection.close() }
            return nil
        }
        guard let connection = buckets[backend.address]!.idle.popLast()?.connection else { return nil }
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
        guard ended.epoch == nil else { return }
        for (address, bucket) in buckets where bucket.incarnation == ended.incarnation {
            buckets[address] = nil
            for idle in bucket.idle { idle.connection.close() }
        }
    }

    /// Keeps a connection whose exchange is complete, or closes it.
    func put(_ connection: BackendConnection) {
        forget(connection)
        guard let bucket = buckets[connection.address], bucket.incarnation == connection.incarnation,
            bucket.idle.count < limits.poolSize
        else { return connection.close() }
        buckets[connection.address]!.idle.append(Idle(connection: connection, since: .now()))
        sweepLater()
    }

    /// An unused connection has ended.
    func remove(_ connection: BackendConnection) {
        buckets[connection.address]?.idle.removeAll { $0.connection === connection }
    }

    func connect(_ backend: Backend) -> EventLoopFuture<BackendConnection> {
        let address: SocketAddress
        do {
            switch backend.address {
            case .tcp(let host, let port): address = try SocketAddress(ipAddress: host, port: port)
            case .unix(let path): address = try SocketAddress(unixDomainSocketPath: path)
            }
        } catch { return loop.makeFailedFuture(error) }
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
            .connect(to: address)
            .flatMapThrowing { try $0.pipeline.syncOperations.handler(type: BackendConnection.self) }
    }

    func closeAll() {
        let all = buckets.values.flatMap(\.idle)
        buckets = [:]
        for idle in all { idle.connection.close() }
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
                buckets[address]!.idle.removeFirst(expired.count)
            }
            for idle in expired { idle.connection.close() }
        }
        if !buckets.isEmpty { sweepLater() }
    }
}
