import HTTPServer
import HTTPWire
import Logging
import NIOCore
import NIOHTTP1
import Tracing

/// A client's connection, or one stream of one: takes its requests one at a time, has the policy decide, and exchanges parts with a sandbox's
/// connection on the same event loop. Nothing here waits: both connections call each other, and the slower one stops the
/// other's reading.
final class ClientConnection: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    enum Phase {
        /// Between requests.
        case idle
        case exchanging(Exchange)
        /// Answered before the request had ended: the rest of its body is read and dropped.
        case draining
        /// Answered for the last time; what still comes is dropped until the client has seen the end.
        case lingering
        case tunnel
    }

    let policy: any ProxyPolicy
    let limits: ProxyLimits
    let pool: BackendPool
    let logger: Logger
    /// nil: nothing is traced.
    private let tracer: Tracer?
    let state: LoopState
    /// Of the request that is being answered, or of the tunnel that it has become; nil between requests.
    var record: RequestRecord?
    /// Counts the bytes of a tunnel.
    var tunnel: TunnelEnd?
    /// Of the request that is being answered, or of the tunnel that it has become.
    var span: ActiveSpan?
    private(set) var carrier: any RequestCarrier
    private(set) var context: ChannelHandlerContext!
    var phase = Phase.idle
    var isQuiescing = false
    /// Asked of the channel: a stream's context has no address.
    private(set) lazy var peer = context.channel.remoteAddress?.ipAddress
    private(set) lazy var deadline = Deadline(context.eventLoop) { [weak self] in self?.expired() }
    private var queue = CircularBuffer<HTTPServerRequestPart>()
    private var isWorkingOff = false
    private var readPending = false
    private var burstHadParts = false
    private var headHasBegun = false
    /// Why what is pipelined behind the request that is being answered is refused when its turn comes.
    private var broken: ProxyError?
    /// Bytes that came behind a request for another protocol.
    private var leftovers: [ByteBuffer] = []

    init(_ state: LoopState, carrier: any RequestCarrier, logger: Logger) {
        self.carrier = carrier
        policy = state.policy
        limits = policy.limits
        pool = state.pool
        tracer = state.tracer
        self.state = state
        self.logger = logger
    }

    // MARK: from the client

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { deadline.set(limits.keepAliveTimeout) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline.clear()
        self.context = nil
        settle()
    }

    func channelActive(context: ChannelHandlerContext) {
        deadline.set(limits.keepAliveTimeout)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .tunnel = phase { return leftovers.append(LeftoverBytes.unwrap(data)) }
        receive(unwrapInboundIn(data))
    }

    /// A part of a request, from the carrier.
    func receive(_ part: HTTPServerRequestPart) {
        burstHadParts = true
        if queue.isEmpty && takesRequest { take(part) } else { queue.append(part) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        defer { burstHadParts = false }
        switch phase {
        case .exchanging(let exchange):
            exchange.backend?.flush()
            if !exchange.requestEnded { extend(exchange) }
        case .idle where !burstHadParts && !headHasBegun:
            headHasBegun = true
            deadline.set(limits.headTimeout)
        default: break
        }
        context.fireChannelReadComplete()
    }

    /// A body that trickles in gets no more time than one that does not come.
    private func extend(_ exchange: Exchange) {
        if exchange.responseStarted || exchange.isGRPC {
            deadline.set(limits.streamTimeout)
        } else if exchange.bodyProgress.map({ $0 >= limits.bodyProgress }) ?? true {
            exchange.bodyProgress = 0
            deadline.set(limits.bodyTimeout)
        }
    }

    /// False from a request's end to its response's: what is pipelined waits.
    private var takesRequest: Bool {
        if case .exchanging(let exchange) = phase { !exchange.requestEnded } else { true }
    }

    private func take(_ part: HTTPServerRequestPart) {
        switch (phase, part) {
        case (.idle, .head(let head)):
            headHasBegun = false
            begin(head)
        case (.exchanging(let exchange), .body(let bytes)):
            exchange.bodyProgress? += bytes.readableBytes
            exchange.bodyBytes += bytes.readableBytes
            record?.bytesIn &+= bytes.readableBytes
            if let most = policy.maxBody, exchange.bodyBytes > most { return fail(.bodyTooLarge(most)) }
            send(.bytes(bytes), exchange)
        case (.exchanging(let exchange), .end(let trailers)):
            exchange.requestEnded = true
            deadline.set(exchange.isGRPC ? limits.streamTimeout : limits.responseTimeout)
            let backend = exchange.target.backend
            send(.end(trailers.map { policy.rules.trailers($0, backend: backend) }), exchange)
        case (.draining, .end): becomeIdle()
        default: break
        }
    }

    private func begin(_ received: HTTPRequestHead) {
        var head = received
        if let tracer { span = tracer.begin(received, route: policy.tracedRoute) }
        var record = RequestRecord(received.method, policy.routeKind)
        // To put it into the request copies all of its fields, which is only worth it where the answer takes it from there.
        record.id = policy.namesAnswers ? RequestID.put(into: &head.headers) : state.ids.of(head.headers)
        let admission = policy.admit(&head, from: peer, &record)
        self.record = record
        switch admission {
        case .answer(let text): answer(head, text)
        case .refuse(let error): refuse(head, error)
        case .proxy(let target):
            do throws(ProxyError) { try open(head, target) } catch { refuse(head, error) }
        }
    }

    // MARK: pauses

    func becomeIdle() {
        phase = .idle
        if isQuiescing { return close() }
        guard !carrier.takesTurns else {
            deadline.clear()
            return carrier.turnEnded()
        }
        deadline.set(limits.keepAliveTimeout)
        guard !isWorkingOff else { return }
        isWorkingOff = true
        while takesRequest, let part = queue.popFirst() { take(part) }
        isWorkingOff = false
        if case .idle = phase, let broken { return fail(broken) }
        if case .exchanging(let exchange) = phase { exchange.backend?.flush() }
        resumeReading()
    }

    /// Reading goes on while a response is awaited, so that a request costs no change of interest in the socket; what is
    /// pipelined then stops it.
    private var holdsReads: Bool {
        guard queue.isEmpty else { return true }
        guard case .exchanging(let exchange) = phase, !exchange.requestEnded else { return false }
        return exchange.backend?.isWritable != true
    }

    func read(context: ChannelHandlerContext) {
        if holdsReads { readPending = true } else { context.read() }
    }

    func resumeReading() {
        guard readPending, !holdsReads else { return }
        readPending = false
        context?.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if case .exchanging(let exchange) = phase {
            deadline.set(context.channel.isWritable ? limits.streamTimeout : limits.stallTimeout)
            if context.channel.isWritable { exchange.backend?.resumeReading() }
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: ends

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { quiesce() }
        context.fireUserInboundEventTriggered(event)
    }

    /// Lets the request that is being answered finish, and takes no other.
    func quiesce() {
        isQuiescing = true
        if case .idle = phase, queue.isEmpty, !carrier.isSingleRequest, !carrier.takesTurns { close() }
    }

    func close() { context?.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        deadline.clear()
        if case .exchanging(let exchange) = phase {
            exchange.backend?.close()
            settle(.clientGone)
        }
        settle()
        phase = .lingering
        queue.removeAll()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let refusal = Self.refusal(of: error)
        if refusal != nil { carrier.drop() }
        switch phase {
        case .lingering, .tunnel: break
        // What comes behind a last request concerns nobody.
        case .exchanging(let exchange)
        where exchange.requestEnded && !exchange.keepsAlive && refusal != nil:
            break
        // What was asked before is answered first.
        case .exchanging(let exchange) where exchange.requestEnded && refusal != nil:
            broken = refusal
            while let last = queue.last, !last.isEnd { queue.removeLast() }
        // Its answer has been given.
        case .draining where refusal != nil: complete(keepsAlive: false, requestEnded: false)
        default: refusal.map(fail) ?? abort()
        }
    }

    /// Why a request that cannot be read is refused; nil where the connection is what failed.
    private static func refusal(of error: any Error) -> ProxyError? {
        switch error {
        case let error as HTTPMessageError: ProxyError(error)
        case let error as ProxyError: error
        default: nil
        }
    }

    private func expired() {
        switch phase {
        case .idle: if headHasBegun { fail(.slowRequest) } else { close() }
        case .exchanging(let exchange) where !exchange.responseStarted:
            // A sandbox that does not take the body is late, not the client.
            fail(exchange.requestEnded || exchange.backend?.isWritable == false ? .timeout : .slowRequest)
        case .exchanging: abort()
        case .draining, .lingering: close()
        case .tunnel: break
        }
    }

    // MARK: another protocol

    /// Stops speaking HTTP; what has come beyond the request is in the list when the future succeeds.
    func switchProtocols() -> EventLoopFuture<[ByteBuffer]> {
        phase = .tunnel
        deadline.clear()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        return carrier.switchProtocols(on: context.channel).map { bound.value.leftovers + $0 }
    }
}

extension HTTPServerRequestPart {
    fileprivate var isEnd: Bool { if case .end = self { true } else { false } }
}
