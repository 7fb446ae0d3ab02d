import Logging
import NIOCore
import NIOHTTP1

/// Serves `[/v1]/sandboxes/{id}/proxy/{port}/…` in front of the lifecycle API, on its listener. Give `frontHandlers(for:)`
/// to `HTTPServer`; requests for other paths pass to the handlers behind as they came.
public final class ServerProxy: Sendable {
    private let loops: LoopStates
    private let logger: Logger

    /// - Parameter answersTo: whether a `Host` field names this server.
    public init(
        directory: any EndpointDirectory, group: any EventLoopGroup, limits: ProxyLimits = ProxyLimits(),
        dialer: (any InsideDialer)? = nil, answersTo: @escaping @Sendable (String) -> Bool = { _ in true },
        logger: Logger
    ) {
        let rules = AccessRules(keys: nil, budget: FailureBudget(logger: logger)) { 0 }
        loops = LoopStates(limits: limits, dialer: dialer) {
            ServerProxyPolicy(
                directory: directory, limits: limits, access: AccessCheck(rules), answersTo: answersTo)
        }
        self.logger = logger
        directory.whenAccessEnds { [weak loops] in loops?.cut($0) }
    }

    /// Called on the channel's event loop when its HTTP handlers are in place. Their decoder is replaced, so that what the
    /// gateway refuses is refused on this listener, too, and so is their encoder, which knows UTF-8 only.
    public func frontHandlers(for channel: any Channel) throws -> [any ChannelHandler] {
        let state = loops.state(of: channel.eventLoop)
        let parts = RequestPartsHandler(limits: state.policy.limits.head)
        let operations = channel.pipeline.syncOperations
        let decoder = try operations.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
        try operations.addHandler(parts, position: .before(decoder.handler))
        operations.removeHandler(context: decoder, promise: nil)
        let encoder = try operations.context(handlerType: HTTPResponseEncoder.self)
        try operations.addHandler(ResponsePartsHandler(), position: .before(encoder.handler))
        operations.removeHandler(context: encoder, promise: nil)
        return [
            ClientConnection(
                policy: state.policy, pool: state.pool, carrier: parts, logger: logger, isAlone: false)
        ]
    }

    /// Closes the unused connections to sandboxes.
    public func shutdown() async { await loops.closeAll() }
}
