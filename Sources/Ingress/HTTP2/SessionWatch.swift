import Logging
import NIOCore
import NIOHTTP2

/// Last on an HTTP/2 connection: ends it when it is unused, when it does not begin, or when it has broken the protocol.
///
/// `NIOHTTP2ServerConnectionManagementHandler` in front of it says GOAWAY on `ChannelShouldQuiesceEvent` and closes when
/// the last stream has ended; it waits for the client's word, and this one does not wait for ever.
final class SessionWatch: ChannelInboundHandler {
    typealias InboundIn = HTTP2Frame

    private let limits: ProxyLimits
    private let logger: Logger
    private var context: ChannelHandlerContext?
    private var streams = 0
    private var hasBegun = false
    private var isQuiescing = false
    private lazy var deadline = context.map { Deadline($0.eventLoop) { [weak self] in self?.expired() } }

    init(limits: ProxyLimits, logger: Logger) {
        self.limits = limits
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        IngressMetrics.sessionOpened()
        deadline?.set(limits.headTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        IngressMetrics.sessionClosed(streams: streams)
        self.context = nil
    }

    /// Frames of the connection itself; the client's SETTINGS come first.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasBegun, case .settings = unwrapInboundIn(data).payload else { return }
        hasBegun = true
        rest()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is NIOHTTP2StreamCreatedEvent:
            streams += 1
            IngressMetrics.streamOpened()
            if !isQuiescing { deadline?.clear() }
        case is StreamClosedEvent:
            streams -= 1
            IngressMetrics.streamClosed()
            rest()
        case is ChannelShouldQuiesceEvent:
            isQuiescing = true
            rest()
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Nothing is under way.
    private func rest() {
        guard streams == 0 else { return }
        deadline?.set(isQuiescing ? limits.lingerTimeout : limits.keepAliveTimeout)
    }

    private func expired() {
        guard hasBegun, !isQuiescing else { return close() }
        context?.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    private func close() { context?.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard !Self.isOfOneStream(error) else { return }
        if error is any NIOHTTP2Error {
            logger.debug("HTTP/2 connection ended", metadata: ["error": "\(type(of: error))"])
            IngressMetrics.sessionBroken()
        }
        // Where the protocol was broken, GOAWAY has been written before.
        close()
    }

    /// Errors that have ended a stream and leave the others alone. Every other one ends the connection.
    private static func isOfOneStream(_ error: any Error) -> Bool {
        switch error {
        case is NIOHTTP2Errors.StreamError, is NIOHTTP2Errors.StreamClosed, is NIOHTTP2Errors.NoSuchStream,
            is NIOHTTP2Errors.InvalidPseudoHeaders, is NIOHTTP2Errors.EmptyPathHeader,
            is NIOHTTP2Errors.ForbiddenHeaderField, is NIOHTTP2Errors.InvalidPseudoHeaderValue,
            is NIOHTTP2Errors.InvalidHTTP2HeaderFieldName, is NIOHTTP2Errors.InvalidHTTP2HeaderFieldValue,
            is NIOHTTP2Errors.UnknownPseudoHeader, is NIOHTTP2Errors.UnsupportedPseudoHeader,
            is NIOHTTP2Errors.DuplicatePseudoHeader, is NIOHTTP2Errors.PseudoHeaderAfterRegularHeader,
            is NIOHTTP2Errors.ContentLengthViolated, is NIOHTTP2Errors.ContentLengthHeadersMismatch,
            is NIOHTTP2Errors.ContentLengthHeaderMalformedValue, is NIOHTTP2Errors.ContentLengthHeaderNegative,
            is NIOHTTP2Errors.TrailersWithoutEndStream:
            true
        default: false
        }
    }
}
