import HTTPWire
import NIOCore
import SecureAccess

/// A connection to a sandbox: passes requests on, and responses to the client's connection that it serves at the moment.
final class BackendConnection: ChannelDuplexHandler, HTTP1Output {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    let address: Backend.Address
    let incarnation: String
    /// Of the access that the present exchange was permitted by.
    var epoch: AccessEpoch
    private(set) var context: ChannelHandlerContext!
    private let pool: BackendPool
    /// The client whose exchange this carries; nil in the pool.
    private var client: ClientConnection?
    private var readPending = false
    private var decoder: ResponseDecoder
    var encoder = MessageEncoder()
    /// What has come and has not been read.
    private var bytes = ByteBuffer()
    /// It has carried an exchange before: the sandbox may have closed it already.
    var isReused = false
    /// Its exchange is one of those that the sandbox's limit of concurrency counts.
    var isCounted = false
    /// Where this is one stream of a connection of HTTP/2.
    private let session: BackendSession?

    private init(_ backend: Backend, in session: BackendSession?, pool: BackendPool, limits: ProxyLimits) {
        self.session = session
        address = backend.address
        incarnation = backend.incarnation
        epoch = backend.epoch
        self.pool = pool
        decoder = ResponseDecoder(maxBytes: 2 * limits.head.maxBytes, maxFields: 2 * limits.head.maxFields)
    }

    static func configure(_ channel: any Channel, _ backend: Backend, pool: BackendPool, limits: ProxyLimits) throws {
        let connection = BackendConnection(backend, in: nil, pool: pool, limits: limits)
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    /// One for a stream.
    static func configure(
        _ stream: any Channel, _ backend: Backend, in session: BackendSession, pool: BackendPool, limits: ProxyLimits
    ) throws {
        try stream.pipeline.syncOperations.addHandlers([
            BackendStreamCodec(limits: limits.head),
            BackendConnection(backend, in: session, pool: pool, limits: limits),
        ])
    }

    /// Why it has ended without a response.
    var failure: ProxyError { session.map { $0.hasSpoken ? .responseFailed : .noHTTP2 } ?? .responseFailed }

    var isActive: Bool { context != nil && context.channel.isActive }
    var isWritable: Bool { context.channel.isWritable }

    func attach(_ client: ClientConnection) { self.client = client }

    /// The exchange is complete.
    func release(reusable: Bool) {
        client = nil
        // What stands behind the response answers nothing that was asked.
        guard reusable, session == nil, isActive, bytes.readableBytes == 0 else { return close() }
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

    func write(_ head: OutgoingRequest) {
        decoder.expect(toHEAD: head.isHEAD)
        encoder.write(head)
    }

    func write(_ part: BodyPart) { write(part, to: context) }

    func flush() { flush(context: context) }

    func resumeReading() {
        guard readPending else { return }
        readPending = false
        context.read()
    }

    /// What stands behind the response that has changed the protocol.
    func leftovers() -> [ByteBuffer] {
        defer { bytes = ByteBuffer() }
        return bytes.readableBytes > 0 ? [bytes] : []
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
        guard client != nil else { return context.close(promise: nil) }
        // From now on it is known that the sandbox had the request.
        isReused = false
        var more = unwrapInboundIn(data)
        bytes.append(&more)
        do throws(HTTPMessageError) {
            while let client, let part = try decoder.next(&bytes) { client.backendSent(part, self) }
        } catch { context.close(promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        bytes.shrinkIfWasteful()
        client?.backendReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if let client, !client.takesResponse {
            readPending = true
        } else {
            context.read()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { client?.backendWritabilityChanged() }

    func channelInactive(context: ChannelHandlerContext) {
        if let client, let end = decoder.finish() { client.backendSent(end, self) }
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
