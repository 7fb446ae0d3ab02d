import NIOCore
import NIOHTTP1
import SecureAccess

/// A connection to a sandbox: passes requests on, and responses to the client's connection that it serves at the moment.
final class BackendConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundIn = HTTPClientRequestPart
    typealias OutboundOut = HTTPClientRequestPart

    let address: Backend.Address
    let incarnation: String
    /// Of the access that the present exchange was permitted by.
    var epoch: AccessEpoch
    private(set) var context: ChannelHandlerContext!
    private let pool: BackendPool
    /// The client whose exchange this carries; nil in the pool.
    private var client: ClientConnection?
    private var readPending = false
    /// Bytes that came behind the response that switched protocols.
    private(set) var leftovers: [ByteBuffer] = []
    private var hasSwitched = false
    /// It has carried an exchange before: the sandbox may have closed it already.
    var isReused = false

    private init(_ backend: Backend, pool: BackendPool) {
        address = backend.address
        incarnation = backend.incarnation
        epoch = backend.epoch
        self.pool = pool
    }

    static func configure(_ channel: any Channel, _ backend: Backend, pool: BackendPool, limits: ProxyLimits) throws {
        var encoding = HTTPRequestEncoder.Configuration()
        encoding.automaticallySetFramingHeaders = false
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderListSize = 2 * limits.head.maxBytes
        let decoder = HTTPResponseDecoder(
            leftOverBytesStrategy: .forwardBytes, informationalResponseStrategy: .forward,
            limitConfiguration: decoding)
        try channel.pipeline.syncOperations.addHandlers([
            HTTPRequestEncoder(configuration: encoding), ByteToMessageHandler(decoder),
            BackendConnection(backend, pool: pool),
        ])
    }

    var isActive: Bool { context != nil && context.channel.isActive }
    var isWritable: Bool { context.channel.isWritable }

    func attach(_ client: ClientConnection) { self.client = client }

    /// The exchange is complete.
    func release(reusable: Bool) {
        client = nil
        guard reusable && isActive else { return close() }
        isReused = true
        resumeReading()
        pool.put(self)
    }

    /// Ends the connection in the middle: access to the sandbox has ended. Nothing is sent again over another one.
    func cut() {
        isReused = false
        context?.close(promise: nil)
    }

    /// Ends the connection without a word to its client.
    func close() {
        client = nil
        context?.close(promise: nil)
    }

    func write(_ part: HTTPClientRequestPart) { context.write(wrapOutboundOut(part), promise: nil) }

    func flush() { context.flush() }

    func resumeReading() {
        guard readPending else { return }
        readPending = false
        context.read()
    }

    /// Stops speaking HTTP; what the decoder has beyond the response is in `leftovers` when the future succeeds.
    func switchProtocols() -> EventLoopFuture<Void> {
        hasSwitched = true
        let operations = context.pipeline.syncOperations
        do {
            let decoder = try operations.context(handlerType: ByteToMessageHandler<HTTPResponseDecoder>.self)
            return operations.removeHandler(context: decoder)
        } catch { return context.eventLoop.makeFailedFuture(error) }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        pool.use(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        pool.forget(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if hasSwitched { return leftovers.append(LeftoverBytes.unwrap(data)) }
        guard let client else { return context.close(promise: nil) }
        client.backendSent(unwrapInboundIn(data), self)
    }

    func channelReadComplete(context: ChannelHandlerContext) { client?.backendReadComplete() }

    func read(context: ChannelHandlerContext) {
        if let client, !client.takesResponse {
            readPending = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { client?.backendWritabilityChanged() }

    func channelInactive(context: ChannelHandlerContext) {
        guard let client else { return pool.remove(self) }
        self.client = nil
        client.backendEnded(self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Reads bytes where a handler otherwise gets HTTP parts: what a decoder forwards as it is removed.
final class LeftoverBytes: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    static func wrap(_ bytes: ByteBuffer) -> NIOAny { wrapInboundOut(bytes) }

    static func unwrap(_ data: NIOAny) -> ByteBuffer { unwrapInboundIn(data) }
}
