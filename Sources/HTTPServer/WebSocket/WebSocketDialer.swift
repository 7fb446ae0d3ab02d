import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// Opens WebSockets at servers.
package struct WebSocketDialer: Sendable {
    /// The server's answer to the handshake, where that is no upgrade.
    package struct Refused: Error, Hashable, CustomStringConvertible {
        package var description: String { "it does not accept a WebSocket there" }
    }

    /// How long a connection may take, and how long the handshake.
    private static let connecting = TimeAmount.seconds(10)
    private static let shaking = TimeAmount.seconds(30)

    package var host: String
    package var port: Int
    package var limits = WebSocketLimits()
    /// What encrypts the connection; nil: nothing does.
    package var encryption: (@Sendable () throws -> any ChannelHandler)?

    package init(host: String, port: Int) { (self.host, self.port) = (host, port) }

    /// - Parameters:
    ///   - target: path and query.
    ///   - headers: `Host`, and whatever the server wants beside the handshake's own.
    /// - Throws: `Refused`, or what the connection has failed by.
    package func connect(_ target: String, headers: HTTPHeaders, on group: any EventLoopGroup) async throws -> WebSocket
    {
        var fields = headers
        fields.add(name: "content-length", value: "0")
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: fields)
        let upgraded = try await ClientBootstrap(group: group).connectTimeout(Self.connecting)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let encryption { try pipeline.addHandler(try encryption()) }
                    let upgrade = NIOTypedHTTPClientUpgradeConfiguration(
                        upgradeRequestHead: head, upgraders: [upgrader],
                        notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(nil as WebSocket?) })
                    var configuration = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrade)
                    // What comes together with the server's answer is the first of the messages.
                    configuration.leftOverBytesStrategy = .forwardBytes
                    let negotiation = try pipeline.configureUpgradableHTTPClientPipeline(configuration: configuration)
                    let deadline = channel.eventLoop.scheduleTask(in: Self.shaking) { channel.close(promise: nil) }
                    negotiation.whenComplete { _ in deadline.cancel() }
                    return negotiation.map { (channel, $0) }
                }
            }
        let (channel, socket) = try await upgraded.get()
        guard let socket else {
            channel.close(promise: nil)
            throw Refused()
        }
        return socket
    }

    private var upgrader: NIOTypedWebSocketClientUpgrader<WebSocket?> {
        NIOTypedWebSocketClientUpgrader(
            maxFrameSize: WebSocketHandler.maxFrame(limits), enableAutomaticErrorHandling: false
        ) { [limits] channel, _ in
            channel.eventLoop.makeCompletedFuture {
                let (socket, handler) = WebSocketHandler.make(channel, limits, .client)
                try channel.pipeline.syncOperations.addHandler(handler)
                return socket
            }
        }
    }
}
