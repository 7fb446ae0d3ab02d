import Logging
import NIOCore
import NIOHTTP1

/// Serves `[/v1]/sandboxes/{id}/proxy/{port}/…` in front of the lifecycle API, on its listener. Give `frontHandlers(for:)`
/// to `HTTPServer`; requests for other paths pass to the handlers behind as they came.
public final class ServerProxy: Sendable {
    private let loops: LoopStates
    private let logger: Logger

    public init(
        directory: any EndpointDirectory, group: any EventLoopGroup, limits: ProxyLimits = ProxyLimits(),
        logger: Logger
    ) {
        let rules = AccessRules(keys: nil, budget: FailureBudget(logger: logger)) { 0 }
        loops = LoopStates(limits: limits) {
            ServerProxyPolicy(directory: directory, limits: limits, access: AccessCheck(rules))
        }
        self.logger = logger
        directory.whenAccessEnds { [weak loops] in loops?.cut($0) }
    }

    /// Called on the channel's event loop when its HTTP handlers are in place.
    public func frontHandlers(for channel: any Channel) throws -> [any ChannelHandler] {
        let state = loops.state(of: channel.eventLoop)
        let chunks = ChunkGuard(lineLimit: state.policy.limits.head.maxBytes, tellsWhy: false)
        let operations = channel.pipeline.syncOperations
        let decoder = try operations.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
        try operations.addHandler(chunks, position: .before(decoder))
        return [
            ClientConnection(
                policy: state.policy, pool: state.pool,
                carrier: ConnectionCarrier(scheme: "http", chunks: chunks), logger: logger, isAlone: false)
        ]
    }

    /// Closes the unused connections to sandboxes.
    public func shutdown() async { await loops.closeAll() }
}
