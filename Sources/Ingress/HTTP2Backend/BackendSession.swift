import HTTPWire
import NIOCore
import NIOHTTP2

/// An HTTP/2 connection without TLS ("prior knowledge") to a port of a sandbox, which carries many exchanges at once.
/// Used on one event loop.
final class BackendSession {
    /// Concurrent streams; beyond that another connection is opened.
    static let maxStreams = 100

    let incarnation: String
    private let loop: any EventLoop
    private var channel: EventLoopFuture<any Channel>!
    private(set) var streams = 0
    /// Since when it has had no streams.
    private(set) var unusedSince = NIODeadline.now()
    /// Whether the sandbox has answered in HTTP/2.
    private(set) var hasSpoken = false
    private let whenSpoken: () -> Void
    /// Whether no new streams may be opened.
    private(set) var isEnding = false

    /// - Parameters:
    ///   - whenSpoken: called once it is clear that the sandbox speaks HTTP/2.
    ///   - connect: opens the connection and adds this session's handlers.
    init(
        incarnation: String, loop: any EventLoop, whenSpoken: @escaping () -> Void,
        connect: (BackendSession) -> EventLoopFuture<any Channel>
    ) {
        self.incarnation = incarnation
        self.loop = loop
        self.whenSpoken = whenSpoken
        channel = connect(self)
    }

    var takesStreams: Bool { !isEnding && streams < Self.maxStreams }

    /// Called when the connection has ended, or could not be opened.
    func whenEnded(_ observer: @escaping () -> Void) {
        let bound = NIOLoopBound((self, observer), eventLoop: loop)
        channel.flatMap(\.closeFuture).whenComplete { _ in
            let (session, observer) = bound.value
            session.isEnding = true
            observer()
        }
    }

    static func configure(_ channel: any Channel, _ session: BackendSession, limits: ProxyLimits) throws {
        let loop = channel.eventLoop
        let configuration = limits.http2.backendConfiguration(headBytes: 2 * limits.head.maxBytes)
        let handler = NIOHTTP2Handler(
            mode: .client, eventLoop: loop, connectionConfiguration: configuration.connection,
            streamConfiguration: configuration.stream
        ) { stream in
            // A sandbox must not open streams; push is disabled.
            stream.close()
        }
        try channel.pipeline.syncOperations.addHandlers([
            FrameWatch(limits: limits.http2, peer: .sandbox), handler,
            BackendSessionWatch(session, patience: limits.connectTimeout),
        ])
    }

    /// Opens a stream.
    /// - Parameter configure: adds handlers to it.
    func open(_ configure: @escaping @Sendable (any Channel) throws -> Void) -> EventLoopFuture<any Channel> {
        streams += 1
        let bound = NIOLoopBound(self, eventLoop: loop)
        let stream = channel.flatMap { channel in
            do {
                let handler = try channel.pipeline.syncOperations.handler(type: NIOHTTP2Handler.self)
                return try handler.syncMultiplexer().createStreamChannel { stream in
                    stream.eventLoop.makeCompletedFuture { try configure(stream) }
                }
            } catch { return channel.eventLoop.makeFailedFuture(error) }
        }
        stream.whenComplete { result in
            switch result {
            case .success(let stream): stream.closeFuture.whenComplete { _ in bound.value.streamEnded() }
            case .failure: bound.value.streamEnded()
            }
        }
        return stream
    }

    private func streamEnded() {
        streams -= 1
        if streams == 0 {
            unusedSince = .now()
            if isEnding { close() }
        }
    }

    fileprivate func spoke() {
        guard !hasSpoken else { return }
        hasSpoken = true
        whenSpoken()
    }

    /// Lets open exchanges finish, then closes.
    func end() {
        isEnding = true
        if streams == 0 { close() }
    }

    private func close() { channel.whenSuccess { $0.close(promise: nil) } }
}

/// The last handler of such a connection. Detects that the sandbox speaks HTTP/2, within a time limit, and when it
/// accepts no more streams.
private final class BackendSessionWatch: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let session: BackendSession
    private let patience: TimeAmount
    private var context: ChannelHandlerContext?
    private lazy var deadline = context.map {
        Deadline($0.eventLoop) { [weak self] in self?.context?.close(promise: nil) }
    }

    init(_ session: BackendSession, patience: TimeAmount) { (self.session, self.patience) = (session, patience) }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        deadline?.set(patience)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data).payload {
        case .settings:
            session.spoke()
            deadline?.clear()
        case .goAway: session.end()
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A stream error only affects its stream.
        guard !session.hasSpoken || !(error is NIOHTTP2Errors.StreamError) else { return }
        session.end()
        context.close(promise: nil)
    }
}

extension HTTP2Limits {
    /// For connections to sandboxes, where the server is the hostile side.
    func backendConfiguration(headBytes: Int) -> NIOHTTP2Handler.Configuration {
        var configuration = configuration(headBytes: headBytes)
        configuration.connection.initialSettings = [
            HTTP2Setting(parameter: .enablePush, value: 0),
            HTTP2Setting(parameter: .maxHeaderListSize, value: headBytes),
            HTTP2Setting(parameter: .initialWindowSize, value: streamWindow),
        ]
        // A sandbox can only reset streams that were opened to it, and gRPC servers reset every call that they end
        // early.
        configuration.stream.streamResetFrameRateLimit.maximumCount = 100 * maxResets
        return configuration
    }
}
