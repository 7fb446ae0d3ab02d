import HTTPWire
import NIOCore
import NIOHTTP1

/// One connection: reads a request from its bytes, has it answered by whom its route names, and writes what that says. What is
/// pipelined waits unread until then.
package final class ServerConnection: ChannelDuplexHandler, RemovableChannelHandler, HTTP1Output {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundIn = HTTPServerResponsePart
    package typealias OutboundOut = ByteBuffer

    enum Turn {
        /// A request is waited for.
        case none
        case handler(HandlerExchange)
        case relay(any RelayHandler, requestEnded: Bool)
        /// Who answers is not known yet.
        case undecided
        /// What comes is not looked at any more: the connection is about to end, or speaks another protocol.
        case over
    }

    let application: any HTTPApplication
    let limits: HTTPLimits
    /// `http` or `https`, as the client speaks it.
    package let scheme: String
    package var encoder = MessageEncoder()
    var reader: RequestReader
    var turn = Turn.none
    private(set) var context: ChannelHandlerContext?
    /// Each is made when its first request comes.
    private(set) var relays: [ObjectIdentifier: any RelayHandler] = [:]
    private(set) var isQuiescing = false
    private var isWorking = false
    /// The last answer is given, and the client is to end the connection.
    private var isDraining = false
    /// Asked for, and held.
    var readPending = false
    private var idleTimer: Scheduled<Void>?

    init(_ application: any HTTPApplication, limits: HTTPLimits, scheme: String = "http") {
        self.application = application
        self.limits = limits
        self.scheme = scheme
        reader = RequestReader(limits.head)
    }

    // MARK: the connection's life

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { startIdleTimer() }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        relays = [:]
    }

    package func channelActive(context: ChannelHandlerContext) {
        startIdleTimer()
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        idleTimer?.cancel()
        if case .handler(let exchange) = turn { exchange.clientGone() }
        turn = .over
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch turn {
        case .relay: context.fireErrorCaught(error)
        case .handler, .none, .undecided, .over: abort()
        }
    }

    /// The request that is being answered may finish; no other is taken.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            isQuiescing = true
            if case .none = turn { return abort() }
            if case .handler(let exchange) = turn { exchange.writer.serverEnds() }
            if isDraining { startIdleTimer() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// How long a server that ends waits for clients to end connections whose last answer they have.
    private static let lastWait = TimeAmount.seconds(1)

    /// Runs while a request is waited for, and while the rest of one that has been answered is.
    private func startIdleTimer() {
        idleTimer?.cancel()
        let time = isQuiescing ? min(Self.lastWait, limits.idleTimeout) : limits.idleTimeout
        idleTimer = context?.eventLoop.assumeIsolated().scheduleTask(in: time) { [weak self] in self?.abort() }
    }

    // MARK: what comes

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .over = turn { return }
        reader.append(unwrapInboundIn(data))
        work()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        reader.rest()
        switch turn {
        case .handler(let exchange): exchange.readComplete(self)
        // Others get no reads here, and would take it for a request's first bytes.
        case .relay: context.fireChannelReadComplete()
        case .none, .undecided, .over: break
        }
    }

    package func read(context: ChannelHandlerContext) {
        if holdsReads { readPending = true } else { context.read() }
    }

    /// Reading goes on while an answer is awaited, so that a request costs no change of interest in the socket; what is
    /// pipelined then stops it.
    private var holdsReads: Bool {
        if case .over = turn { return false }
        return !takesParts && reader.hasBytes
    }

    private var takesParts: Bool {
        switch turn {
        case .none: true
        case .handler(let exchange): !exchange.requestEnded
        case .relay(_, let requestEnded): !requestEnded
        case .undecided, .over: false
        }
    }

    private func work() {
        guard !isWorking else { return }
        isWorking = true
        do throws(HTTPMessageError) {
            while takesParts, let part = try reader.next() { take(part) }
        } catch { refuse(error) }
        isWorking = false
        guard readPending, !holdsReads else { return }
        readPending = false
        context?.read()
    }

    private func take(_ part: HTTPServerRequestPart) {
        switch (turn, part) {
        case (.none, .head(let head)): begin(head)
        case (.handler(let exchange), _): exchange.receive(part)
        case (.relay(let handler, _), .end):
            turn = .relay(handler, requestEnded: true)
            handler.receive(part)
        case (.relay(let handler, _), _): handler.receive(part)
        default: break
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        idleTimer?.cancel()
        begin(head, application.responder(to: head))
    }

    private func begin(_ head: HTTPRequestHead, _ responder: HTTPResponder) {
        switch responder {
        case .later(let decide):
            guard let context else { return abort() }
            turn = .undecided
            let decided = context.eventLoop.makePromise(of: HTTPResponder.self)
            decided.completeWithTask { await decide() }
            decided.futureResult.assumeIsolated().whenSuccess { [weak self] responder in
                guard let self, case .undecided = turn else { return }
                begin(head, responder)
                work()
                resumed()
            }
        case .handler(let handler): HandlerExchange.begin(head, handler, on: self)
        case .loopHandler(let handler): HandlerExchange.begin(head, handler, onLoop: true, on: self)
        case .relay(let relay):
            guard let context, let handler = try? self.handler(of: relay, context) else { return abort() }
            turn = .relay(handler, requestEnded: false)
            handler.receive(.head(head))
        }
    }

    private func handler(of relay: any HTTPRelay, _ context: ChannelHandlerContext) throws -> any RelayHandler {
        if let known = relays[ObjectIdentifier(relay)] { return known }
        let handler = relay.makeHandler(on: self, eventLoop: context.eventLoop)
        relays[ObjectIdentifier(relay)] = handler
        try context.pipeline.syncOperations.addHandler(handler, position: .after(self))
        return handler
    }

    // MARK: whose turn it is

    /// The request has been read to its end and answered: the next one's turn.
    package func turnEnded() {
        if case .over = turn { return }
        guard !isQuiescing else { return abort() }
        turn = .none
        startIdleTimer()
        work()
        resumed()
    }

    /// What was held has no read of its own.
    private func resumed() {
        guard !isWorking else { return }
        switch turn {
        case .relay: context?.fireChannelReadComplete()
        case .handler(let exchange): exchange.readComplete(self)
        case .none, .undecided, .over: break
        }
    }

    /// The answer is given, and the rest of the request is still to come.
    func restAwaited() { if isQuiescing { closeAfterAnswer() } else { startIdleTimer() } }

    /// The answer is given, and no other request is taken. What the client still sends is read and thrown away until it
    /// ends the connection, or its time is over: a connection that is closed with bytes unread is reset, and the reset
    /// may take the answer from the client (RFC 9112, section 9.6).
    func closeAfterAnswer() {
        guard let context else { return }
        isDraining = true
        startIdleTimer()
        // Reading may have been stopped for who read the body.
        context.channel.setOption(.autoRead, value: true).whenFailure { _ in }
        close(context: context, mode: .output, promise: nil)
    }

    /// Whether the client has sent what nobody has read.
    var hasUnread: Bool { takesParts || reader.hasBytes }

    /// Ends the connection. With TLS that takes a while, in which bytes still come: they are nobody's request any more.
    func abort() {
        // Who still answers or reads learns of it, as when the client ends it.
        if case .handler(let exchange) = turn, !exchange.hasReturned { exchange.clientGone() }
        turn = .over
        drop()
        context?.close(promise: nil)
    }

    /// Answers what cannot be read, and ends the connection when the client has the answer.
    private func refuse(_ error: HTTPMessageError) {
        switch turn {
        case .relay: context?.fireErrorCaught(error)
        case .handler(let exchange):
            // Two answers would be one too many.
            if exchange.giveUp() { answer(error) } else { abort() }
        case .none: answer(error)
        case .undecided, .over: break
        }
    }

    private func answer(_ error: HTTPMessageError) {
        guard let context else { return }
        let reply = application.refusal(error)
        var headers = reply.headers
        headers.replaceOrAdd(name: "content-length", value: String(reply.bytes.count))
        headers.replaceOrAdd(name: "date", value: HTTPDate.now())
        headers.replaceOrAdd(name: "connection", value: "close")
        write(OutgoingResponse(HTTPResponseHead(version: .http1_1, status: reply.status, headers: headers)))
        write(.bytes(ByteBuffer(bytes: reply.bytes)), to: context)
        closeAfterAnswer()
    }
}
