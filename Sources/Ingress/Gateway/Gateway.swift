import HTTPServer
import Logging
import NIOCore
import NIOPosix
import SecureAccess
import ServerTLS
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The HTTP and WebSocket proxy through which clients reach ports of sandboxes.
package final class Gateway: Sendable {
    private struct State {
        /// The listener without TLS, then the one with TLS.
        var listeners: [any Channel] = []
        var tls: ListenerTLS?
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isShuttingDown = false
    }

    private let configuration: GatewayConfiguration
    private let loops: LoopStates
    private let traffic: TrafficBudget
    private let accessLog: AccessLog
    private let pipelines: Pipelines
    private let group: any EventLoopGroup
    private let logger: Logger
    private let state = Mutex(State())

    /// - Parameter dialer: nil if this process cannot enter the sandboxes' network namespaces.
    package init(
        configuration: GatewayConfiguration, directory: any EndpointDirectory, group: any EventLoopGroup,
        dialer: (any InsideDialer)? = nil, logger: Logger
    ) {
        self.configuration = configuration
        self.group = group
        self.logger = logger
        let budget = FailureBudget(configuration.failures, logger: logger)
        var rules = AccessRules(keys: configuration.keys, budget: budget) { SystemClock.wallSeconds() }
        rules.acceptsVersion1 = configuration.acceptsVersion1
        let traffic = TrafficBudget(configuration.traffic)
        self.traffic = traffic
        accessLog = AccessLog(configuration.accessLog, logger: logger)
        loops = LoopStates(
            limits: configuration.limits, traffic: traffic, dialer: dialer, tracer: configuration.tracer,
            accessLog: accessLog
        ) { [rules] in
            GatewayPolicy(
                configuration: configuration, directory: directory, access: AccessCheck(rules), traffic: traffic)
        }
        directory.whenAccessEnds { [weak loops] in loops?.cut($0) }
        pipelines = Pipelines(loops: loops, limits: configuration.limits, logger: logger)
    }

    /// - Returns: the address bound, without TLS.
    /// - Throws: `TLSError` if TLS cannot be served, `ListenError` if an address cannot be bound.
    package func start() async throws -> SocketAddress {
        let tls = try configuration.tls.map { listener in
            let tls = try ListenerTLS(
                listener.certificates, protocols: ["h2", "http/1.1"], from: configuration.files, logger: logger)
            return (listener: listener, tls: tls)
        }
        let listener = try await listen(
            configuration.host, configuration.port, open: configuration.openListener, pipelines.configurePlain)
        state.withLock { $0.listeners.append(listener) }
        guard let tls else { return listener.localAddress! }
        do {
            let secure = try await listen(tls.listener, tls.tls)
            state.withLock {
                $0.listeners.append(secure)
                $0.tls = tls.tls
            }
        } catch {
            await shutdown(grace: .zero)
            throw error
        }
        return listener.localAddress!
    }

    /// Sets what may change while it runs.
    package func change(traffic limits: TrafficLimits, accessLog mode: AccessLogMode) {
        traffic.change(limits)
        accessLog.mode = mode
    }

    /// The address with TLS; nil if there is none.
    package var secureAddress: SocketAddress? {
        state.withLock { $0.listeners.count > 1 ? $0.listeners[1].localAddress : nil }
    }

    private func listen(_ listener: TLSListener, _ tls: ListenerTLS) async throws -> any Channel {
        do {
            return try await listen(listener.host, listener.port, open: configuration.openTLSListener) { [pipelines] in
                try pipelines.configureTLS($0, tls)
            }
        } catch let error as ListenError {
            throw TLSError(description: "\(error) (with TLS)")
        }
    }

    private func listen(
        _ host: String, _ port: Int, open listener: CInt?,
        _ configure: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard self.admit(channel) else {
                        self.logger.warning("refused a connection: too many are open")
                        throw ChannelError.inappropriateOperationForState
                    }
                    try configure(channel)
                }
            }
        let bound = listener.map { bootstrap.withBoundSocket($0) } ?? bootstrap.bind(host: host, port: port)
        return try await ListenError.translating(bound, of: "\(host):\(port)").get()
    }

    /// Stops accepting, lets requests and tunnels continue for at most `grace`, then closes. Clients are told to stop
    /// by GOAWAY in HTTP/2 and `Connection: close` in HTTP/1.1.
    package func shutdown(grace: TimeAmount = .seconds(5)) async {
        let (listeners, connections, tls) = state.withLock { state in
            state.isShuttingDown = true
            defer { (state.listeners, state.tls) = ([], nil) }
            return (state.listeners, Array(state.connections.values), state.tls)
        }
        tls?.stop()
        for listener in listeners { try? await listener.close() }
        for connection in connections { connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        let deadline = group.next().scheduleTask(in: grace) {
            for connection in connections { connection.close(promise: nil) }
        }
        for connection in connections { try? await connection.closeFuture.get() }
        deadline.cancel()
        await loops.closeAll()
    }

    private func admit(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let peer = channel.remoteAddress?.ipAddress
        // Connections of a trusted proxy are not counted, since it holds those of all its clients.
        let isCounted = peer.map { !configuration.trustedProxies.trusts($0) } ?? false
        guard !isCounted || traffic.connect(peer) else { return false }
        let isAdmitted = state.withLock { state in
            guard !state.isShuttingDown, state.connections.count < configuration.limits.maxConnections else {
                return false
            }
            state.connections[key] = channel
            return true
        }
        if isAdmitted {
            channel.closeFuture.whenComplete { _ in
                self.state.withLock { $0.connections[key] = nil }
                if isCounted { self.traffic.disconnect(peer) }
            }
        } else if isCounted {
            traffic.disconnect(peer)
        }
        return isAdmitted
    }
}
