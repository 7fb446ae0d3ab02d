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
    private let http2Ports: HTTP2Ports
    private var pending: [ObjectIdentifier: PendingAccess] = [:]
    /// Connections of HTTP/2.
    private var sessions: [Backend.Address: [BackendSession]] = [:]
    private var buckets: [Backend.Address: Bucket] = [:]
    /// Of all buckets.
    private var idleCount = 0
    /// Every connection that carries an exchange or a tunnel, or is being opened for one.
    private var inUse: [ObjectIdentifier: BackendConnection] = [:]
    private var sweeping = false

    init(
        loop: any EventLoop, limits: ProxyLimits, traffic: TrafficBudget? = nil, dialer: (any InsideDialer)? = nil,
        http2Ports: HTTP2Ports = HTTP2Ports()
    ) {
        self.loop = loop
        self.traffic = traffic
        self.dialer = dialer
        self.http2Ports = http2Ports
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
        connection.isCounted = traffic?.begin(connection.incarnation) ?? false
    }

    /// The connection carries nothing more.
    func forget(_ connection: BackendConnection) {
        guard inUse.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        if connection.isCounted { traffic?.end(connection.incarnation) }
    }

    /// Closes what is open to a sandbox and was opened for what is worthless now.
    func cut(_ ended: EndedAccess) {
        for connection in Array(inUse.values) where connection.incarnation == ended.incarnation {
            if ended.epoch == nil || connection.epoch != ended.epoch { connection.cut() }
        }
        for access in pending.values where access.incarnation == ended.incarnation && access.epoch != ended.epoch {
            access.hasEnded = true
        }
        guard ended.epoch == nil else { return }
        for session in sessions.values.joined() where session.incarnation == ended.incarnation { session.end() }
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
        let pool = NIOLoopBound(self, eventLoop: loop), limits = limits
        return dial(backend) { try BackendConnection.configure($0, backend, pool: pool.value, limits: limits) }
            .flatMapThrowing { try $0.pipeline.syncOperations.handler(type: BackendConnection.self) }
    }

    // MARK: HTTP/2

    /// Whether the sandbox is known to speak HTTP/2 on that port: it has, a moment ago.
    func speaksHTTP2(_ backend: Backend) -> Bool {
        http2Ports.contains(backend)
    }

    /// A stream of HTTP/2 for one exchange.
    func openStream(_ backend: Backend) -> EventLoopFuture<BackendConnection> {
        let session = session(for: backend)
        let bound = NIOLoopBound((pool: self, access: wait(for: backend), session: session), eventLoop: loop)
        let limits = limits
        return session.open { stream in
            let (pool, access, session) = bound.value
            guard pool.settle(access) else { throw DialError.ended }
            try BackendConnection.configure(stream, backend, in: session, pool: pool, limits: limits)
        }
        .flatMapErrorThrowing { error in
            _ = bound.value.pool.settle(bound.value.access)
            throw error
        }
        .flatMapThrowing { try $0.pipeline.syncOperations.handler(type: BackendConnection.self) }
    }

    private func session(for backend: Backend) -> BackendSession {
        let all = sessions[backend.address] ?? []
        for session in all where session.incarnation != backend.incarnation { session.end() }
        if let session = all.first(where: { $0.takesStreams && $0.incarnation == backend.incarnation }) {
            return session
        }
        let limits = limits, ports = http2Ports
        let session = BackendSession(
            incarnation: backend.incarnation, loop: loop, whenSpoken: { ports.opened(backend) }
        ) { session in
            let bound = NIOLoopBound(session, eventLoop: loop)
            return dial(backend) { try BackendSession.configure($0, bound.value, limits: limits) }
        }
        sessions[backend.address, default: []].append(session)
        session.whenEnded { [weak self] in
            if session.hasSpoken { ports.closed(backend) }
            self?.forget(session, at: backend.address)
        }
        sweepLater()
        return session
    }

    private func forget(_ session: BackendSession, at address: Backend.Address) {
        sessions[address]?.removeAll { $0 === session }
        if sessions[address]?.isEmpty == true { sessions[address] = nil }
    }

    // MARK: dialling

    private typealias Configure = @Sendable (any Channel) throws -> Void

    /// - Parameter configure: puts handlers into the connection.
    private func dial(_ backend: Backend, _ configure: @escaping Configure) -> EventLoopFuture<any Channel> {
        if backend.isInside, case .tcp(_, let port) = backend.address { return dialInside(backend, port, configure) }
        let address: SocketAddress
        do {
            switch backend.address {
            case .tcp(let host, let port): address = try SocketAddress(ipAddress: host, port: port)
            case .unix(let path): address = try SocketAddress(unixDomainSocketPath: path)
            }
        } catch { return loop.makeFailedFuture(error) }
        let channel = bootstrap(configure).connect(to: address)
        guard case .tcp(_, let port) = backend.address else { return channel }
        let pool = NIOLoopBound(self, eventLoop: loop)
        return channel.flatMapError { error in
            guard (error as? IOError)?.errnoCode == ECONNREFUSED else {
                return pool.eventLoop.makeFailedFuture(error)
            }
            return pool.value.dialInside(backend, port, configure)
        }
    }

    private func bootstrap(_ configure: @escaping Configure) -> ClientBootstrap {
        ClientBootstrap(group: loop)
            .connectTimeout(limits.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try configure(channel) } }
    }

    /// The sandbox's address refuses: what listens there may listen on loopback only.
    private func dialInside(
        _ backend: Backend, _ port: Int, _ configure: @escaping Configure
    ) -> EventLoopFuture<any Channel> {
        guard let dialer else { return loop.makeFailedFuture(DialError.refusedAtAddress) }
        let bound = NIOLoopBound((pool: self, access: wait(for: backend)), eventLoop: loop)
        return dialer.dial(inside: backend.incarnation, port: port, on: loop).flatMapErrorThrowing { error in
            _ = bound.value.pool.settle(bound.value.access)
            throw error is IOError ? error : DialError.refusedAtAddress
        }.flatMap { descriptor in
            guard bound.value.pool.settle(bound.value.access) else {
                close(descriptor)
                return bound.eventLoop.makeFailedFuture(DialError.ended)
            }
            return bound.value.pool.bootstrap(configure).withConnectedSocket(descriptor)
        }
    }

    private func wait(for backend: Backend) -> PendingAccess {
        let access = PendingAccess(backend)
        pending[ObjectIdentifier(access)] = access
        return access
    }

    /// The access has its connection, or none will come.
    /// - Returns: whether it is still good.
    private func settle(_ access: PendingAccess) -> Bool {
        pending[ObjectIdentifier(access)] = nil
        return !access.hasEnded
    }

    func closeAll() {
        for (address, bucket) in buckets { drop(bucket, at: address) }
        for session in sessions.values.joined() { session.end() }
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
        let earlier = NIODeadline.now() - limits.sessionTimeout
        for session in sessions.values.joined() where session.streams == 0 && session.unusedSince < earlier {
            session.end()
        }
        if !buckets.isEmpty || !sessions.isEmpty { sweepLater() }
    }
}
