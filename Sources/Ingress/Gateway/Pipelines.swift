import HTTPWire
import Logging
import NIOCore
import NIOHTTP2
import ServerTLS

/// Sets up the handlers of a client's connection, by protocol. `ClientConnection` is always last.
struct Pipelines: Sendable {
    let loops: LoopStates
    let limits: ProxyLimits
    let logger: Logger

    /// HTTP/1.1, or HTTP/2 if the client begins with its preface. `Upgrade: h2c` is not taken (RFC 9113, section 3.1).
    func configurePlain(_ channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHandler(
            PrefaceDetector(limits: limits) { try configure($0, isHTTP2: $1, scheme: "http") })
    }

    /// HTTP/2 or HTTP/1.1, whichever the handshake agrees on.
    func configureTLS(_ channel: any Channel, _ tls: ListenerTLS) throws {
        try tls.secure(channel, timeout: limits.headTimeout, failed: { IngressMetrics.handshakeFailed() }) {
            try configure($0, isHTTP2: $1 == "h2", scheme: "https")
        }
    }

    private func configure(_ channel: any Channel, isHTTP2: Bool, scheme: String) throws {
        if isHTTP2 { try configureHTTP2(channel, scheme: scheme) } else { try configureHTTP1(channel, scheme: scheme) }
    }

    private func configureHTTP1(_ channel: any Channel, scheme: String) throws {
        let state = loops.state(of: channel.eventLoop)
        let codec = HTTP1Codec(scheme: scheme, limits: limits.head)
        let connection = ClientConnection(state, carrier: codec, logger: logger)
        codec.connection = connection
        IngressMetrics.connectionOpened()
        try channel.pipeline.syncOperations.addHandlers([codec, connection])
    }

    private func configureHTTP2(_ channel: any Channel, scheme: String) throws {
        let configuration = limits.http2.configuration(headBytes: limits.head.maxBytes)
        let frames = FrameWatch(limits: limits.http2)
        let watch = SessionWatch(limits: limits, frames: frames, logger: logger)
        let management = NIOHTTP2ServerConnectionManagementHandler(
            eventLoop: channel.eventLoop,
            configuration: .init(maxIdleTime: nil, maxAge: nil, maxGraceTime: nil, keepalive: nil))
        let handler = NIOHTTP2Handler(
            mode: .server, eventLoop: channel.eventLoop, connectionConfiguration: configuration.connection,
            streamConfiguration: configuration.stream,
            streamDelegate: StreamCount(management: management, watch: watch, loop: channel.eventLoop)
        ) { stream in
            stream.eventLoop.makeCompletedFuture { try configureStream(stream, scheme: scheme) }
        }
        try channel.pipeline.syncOperations.addHandlers([FrameGatherer(), frames, handler, management, watch])
    }

    private func configureStream(_ stream: any Channel, scheme: String) throws {
        let state = loops.state(of: stream.eventLoop), codec = StreamCodec(scheme: scheme)
        try stream.pipeline.syncOperations.addHandlers([
            codec,
            ClientConnection(state, carrier: codec, logger: logger),
        ])
    }
}
