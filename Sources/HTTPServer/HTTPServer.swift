import HTTPWire
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What one server allows its clients.
package struct HTTPLimits: Sendable {
    /// What a request head may be.
    package var head = RequestHeadCheck()
    /// Connections open at once; one more is closed as it comes.
    package var maxConnections = 4096
    /// How long a connection may take to send a request's head, and may stay unused between requests.
    package var idleTimeout = TimeAmount.seconds(75)
    /// Within each such time `bodyProgress` bytes of a request's body have to come, or its end. While the handler does not
    /// read, the client has all the time there is.
    package var bodyTimeout = TimeAmount.seconds(20)
    package var bodyProgress = 10 << 10
    /// How long a client may leave an answer unread: within each such time it has to take `stallProgress` bytes, or all there are.
    /// Only bytes that wait count. A stream that has nothing to say may be silent.
    package var stallTimeout = TimeAmount.seconds(60)
    package var stallProgress = 4096
    /// For a TLS handshake.
    package var handshakeTimeout = TimeAmount.seconds(10)
    /// Connections the kernel queues before they are accepted.
    package var backlog = 2048

    package init() {}

    /// - Parameter rate: bytes a second that a request's body has to come with.
    package mutating func setBodyRate(_ rate: Int) {
        bodyProgress = rate * Int(bodyTimeout.nanoseconds / 1_000_000_000)
    }
}

/// Where a server listens.
package enum HTTPBind: Sendable {
    /// Port 0 takes a free one.
    case tcp(host: String, port: Int)
    /// A socket file, replaced if it is there, with these permission bits.
    case unix(path: String, mode: mode_t)
    /// A socket that listens already, and stays open elsewhere when this server ends.
    case open(descriptor: CInt)

    /// As people name it.
    var place: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path, _): path
        case .open: "a socket of the supervisor's"
        }
    }
}

/// What a listener puts between its sockets and HTTP: TLS (module ServerTLS). Programs that serve without it do not
/// carry it.
package protocol ConnectionSecurity: Sendable {
    /// Adds handlers to a new connection.
    /// - Parameter ready: adds those of HTTP; called on the event loop when the handshake is done.
    func secure(_ channel: any Channel, timeout: TimeAmount, ready: @escaping (any Channel) throws -> Void) throws
}

/// An HTTP/1.1 server. Every API of this program is served by it (`HTTPAPI`).
package final class HTTPServer: Sendable {
    private struct State {
        var listeners: [any Channel] = []
        var connections: [ObjectIdentifier: any Channel] = [:]
        var isShuttingDown = false
    }

    private let group: any EventLoopGroup
    private let limits: HTTPLimits
    private let logger: Logger
    private let application: any HTTPApplication
    private let state = Mutex(State())

    package init(
        group: any EventLoopGroup, limits: HTTPLimits = HTTPLimits(), logger: Logger, application: any HTTPApplication
    ) {
        self.group = group
        self.limits = limits
        self.logger = logger
        self.application = application
    }

    /// Serves one handler, whatever is asked for.
    package convenience init(
        group: any EventLoopGroup, limits: HTTPLimits = HTTPLimits(), logger: Logger, handler: @escaping HTTPHandler
    ) {
        self.init(group: group, limits: limits, logger: logger, application: SingleHandler(handler: handler))
    }

    /// Listens; may be called again for another address.
    /// - Returns: the address bound, with the port that the kernel chose where 0 was asked for.
    /// - Throws: `ListenError` when the address cannot be bound.
    ///
    /// - Parameter security: of this listener; nil for none.
    @discardableResult
    package func start(on bind: HTTPBind, security: (any ConnectionSecurity)? = nil) async throws -> SocketAddress {
        adopt(try await listen(on: bind, security).get())
    }

    /// As `start`, for a thread that has nothing else to do: it waits, and must not be one of the event loops'.
    @discardableResult
    package func startWaiting(on bind: HTTPBind) throws -> SocketAddress { adopt(try listen(on: bind, nil).wait()) }

    private func adopt(_ listener: any Channel) -> SocketAddress {
        state.withLock { $0.listeners.append(listener) }
        return listener.localAddress!
    }

    private func listen(
        on bind: HTTPBind, _ security: (any ConnectionSecurity)?
    ) -> EventLoopFuture<any Channel> {
        ListenError.translating(bound(bind, security), of: bind.place)
    }

    private func bound(
        _ bind: HTTPBind, _ security: (any ConnectionSecurity)?
    ) -> EventLoopFuture<any Channel> {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Int32(limits.backlog))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.configure(channel, security) }
            }
        switch bind {
        case .tcp(let host, let port):
            let tcp = bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            // A literal is not looked up: in a static executable that would load the C library's name services.
            if let address = try? SocketAddress(ipAddress: host, port: port) {
                return tcp.bind(to: address)
            }
            return tcp.bind(host: host, port: port)
        case .open(let descriptor):
            return bootstrap.withBoundSocket(descriptor)
        case .unix(let path, let mode):
            return bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).flatMap { listener in
                guard chmod(path, mode) == 0 else {
                    let failure = IOError(errnoCode: errno, reason: "chmod \(path)")
                    return listener.close().flatMapThrowing { throw failure }
                }
                return listener.eventLoop.makeSucceededFuture(listener)
            }
        }
    }

    /// Stops accepting at once, lets requests that are being answered finish for at most `grace`, then closes.
    package func shutdown(grace: TimeAmount = .seconds(5)) async {
        let (listeners, connections) = state.withLock { state in
            state.isShuttingDown = true
            defer { state.listeners = [] }
            return (state.listeners, Array(state.connections.values))
        }
        for listener in listeners { try? await listener.close() }
        for connection in connections {
            connection.eventLoop.execute {
                connection.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            }
        }
        let deadline = group.next().scheduleTask(in: grace) {
            for connection in connections { connection.close(promise: nil) }
        }
        for connection in connections { try? await connection.closeFuture.get() }
        deadline.cancel()
    }

    private func configure(_ channel: any Channel, _ security: (any ConnectionSecurity)?) throws {
        guard admit(channel) else {
            logger.warning("refused a connection: too many are open", metadata: ["limit": "\(limits.maxConnections)"])
            throw ChannelError.inappropriateOperationForState
        }
        guard let security else { return try speak("http", on: channel) }
        try security.secure(channel, timeout: limits.handshakeTimeout) { [self] in try speak("https", on: $0) }
    }

    private func speak(_ scheme: String, on channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(ServerConnection(application, limits: limits, scheme: scheme))
    }

    private func admit(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let admitted = state.withLock { state in
            guard !state.isShuttingDown, state.connections.count < limits.maxConnections else { return false }
            state.connections[key] = channel
            return true
        }
        guard admitted else { return false }
        channel.closeFuture.whenComplete { _ in
            self.state.withLock { $0.connections[key] = nil }
        }
        return true
    }
}

private struct SingleHandler: HTTPApplication {
    let handler: HTTPHandler

    func responder(to head: HTTPRequestHead) -> HTTPResponder { .handler(handler) }

    func refusal(_ error: HTTPMessageError) -> Reply { .text(error.status, "\(error)\n") }
}
