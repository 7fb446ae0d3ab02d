import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import SecureAccess

#if canImport(Glibc)
    import Glibc
#endif

/// Lets clients reach the ports of sandboxes by HTTP and WebSocket.
public final class Gateway: Sendable {
    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isShuttingDown = false
    }

    private let configuration: GatewayConfiguration
    private let loops: LoopStates
    private let traffic: TrafficBudget
    private let group: any EventLoopGroup
    private let logger: Logger
    private let state = NIOLockedValueBox(State())

    public init(
        configuration: GatewayConfiguration, directory: any EndpointDirectory, group: any EventLoopGroup,
        logger: Logger
    ) {
        self.configuration = configuration
        self.group = group
        self.logger = logger
        let budget = FailureBudget(configuration.failures, logger: logger)
        var rules = AccessRules(keys: configuration.keys, budget: budget) { UInt64(time(nil)) }
        rules.acceptsVersion1 = configuration.acceptsVersion1
        let traffic = TrafficBudget(configuration.traffic)
        self.traffic = traffic
        loops = LoopStates(limits: configuration.limits, traffic: traffic) { [rules] in
            GatewayPolicy(
                configuration: configuration, directory: directory, access: AccessCheck(rules), traffic: traffic)
        }
        directory.whenAccessEnds { [weak loops] in loops?.cut($0) }
    }

    /// - Returns: the address bound.
    /// - Throws: `IOError` when it cannot be bound.
    public func start() async throws -> SocketAddress {
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.configure(channel) }
            }
            .bind(host: configuration.host, port: configuration.port).get()
        state.withLockedValue { $0.listener = listener }
        return listener.localAddress!
    }

    /// Stops accepting, lets requests and tunnels go on for at most `grace`, then closes.
    public func shutdown(grace: TimeAmount = .seconds(5)) async {
        let (listener, connections) = state.withLockedValue { state in
            state.isShuttingDown = true
            defer { state.listener = nil }
            return (state.listener, Array(state.connections.values))
        }
        try? await listener?.close()
        for connection in connections { connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        let deadline = group.next().scheduleTask(in: grace) {
            for connection in connections { connection.close(promise: nil) }
        }
        for connection in connections { try? await connection.closeFuture.get() }
        deadline.cancel()
        await loops.closeAll()
    }

    private func configure(_ channel: any Channel) throws {
        guard admit(channel) else {
            logger.warning("connection refused: too many open")
            throw ChannelError.inappropriateOperationForState
        }
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderListSize = configuration.limits.head.maxBytes
        decoding.maxHeaderFieldCount = configuration.limits.head.maxFields
        let decoder = HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: decoding)
        let state = loops.state(of: channel.eventLoop),
            chunks = ChunkGuard(lineLimit: configuration.limits.head.maxBytes, tellsWhy: true)
        try channel.pipeline.syncOperations.addHandlers([
            ResponseEncoder(), chunks, ByteToMessageHandler(decoder),
            ClientConnection(policy: state.policy, pool: state.pool, chunks: chunks, logger: logger, isAlone: true),
        ])
    }

    private func admit(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let peer = channel.remoteAddress?.ipAddress
        // A proxy in front has the connections of all of its clients.
        let isCounted = peer.map { !configuration.trustedProxies.trusts($0) } ?? false
        guard !isCounted || traffic.connect(peer) else { return false }
        let isAdmitted = state.withLockedValue { state in
            guard !state.isShuttingDown, state.connections.count < configuration.limits.maxConnections else {
                return false
            }
            state.connections[key] = channel
            return true
        }
        if isAdmitted {
            channel.closeFuture.whenComplete { _ in
                self.state.withLockedValue { $0.connections[key] = nil }
                if isCounted { self.traffic.disconnect(peer) }
            }
        } else if isCounted {
            traffic.disconnect(peer)
        }
        return isAdmitted
    }
}
