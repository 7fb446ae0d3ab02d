import HTTPWire
import NIOCore
import NIOHTTP1

/// One request that an asynchronous handler answers. Belongs to the connection's event loop.
final class HandlerExchange {
    let writer: HTTPResponseWriter
    private(set) var requestEnded = false
    /// nil until the handler has begun, and where it has begun with a whole body.
    private var queue: BodyQueue?
    /// What is to be done with the request; nil once it is.
    private var beginning: (head: HTTPRequestHead, handler: HTTPHandler)?
    private let isOnLoop: Bool
    private let keepsAlive: Bool
    private(set) var hasReturned = false
    private var bodyTimer: Scheduled<Void>?
    /// What came of the body before the handler began.
    private var parts: [ByteBuffer] = []
    private var readSize = ReadSize.usual
    /// The body may be much longer than what is read at once.
    private let isLarge: Bool
    /// Bytes of the body since its time was set.
    private var bodyProgress = 0
    /// Bytes of the answer's body so far.
    private var answered = 0
    /// nil until something waits.
    private var output: OutputWatch?
    private let limits: HTTPLimits
    private weak var connection: ServerConnection?
    private let channel: any Channel

    private init(
        _ head: HTTPRequestHead, _ handler: @escaping HTTPHandler, onLoop: Bool, _ channel: any Channel,
        on connection: ServerConnection
    ) {
        beginning = (head, handler)
        isOnLoop = onLoop
        self.connection = connection
        self.channel = channel
        limits = connection.limits
        // Nothing is read behind a request for another protocol, taken or not.
        keepsAlive = head.persists && !connection.reader.asksForUpgrade
        isLarge = head.headers.first(name: "content-length").map { Int($0) ?? .max > ReadSize.usual.most } ?? true
        writer = HTTPResponseWriter(
            channel: channel, request: head, keepsAlive: keepsAlive, isPlain: connection.scheme == "http")
    }

    static func begin(
        _ head: HTTPRequestHead, _ handler: @escaping HTTPHandler, onLoop: Bool = false, on connection: ServerConnection
    ) {
        guard let context = connection.context else { return }
        if head.version == .http1_1, head.headers.first(name: "expect")?.lowercased() == "100-continue" {
            connection.write(OutgoingResponse(HTTPResponseHead(version: .http1_1, status: .continue)))
            connection.flush(context: context)
        }
        let exchange = HandlerExchange(head, handler, onLoop: onLoop, context.channel, on: connection)
        connection.turn = .handler(exchange)
        if connection.isQuiescing { exchange.writer.serverEnds() }
    }

    /// The handler begins when the request has come whole, or when no more of it is there for now. Most come whole: those cost no
    /// stream of parts, and no change of threads for each part.
    private func begin(_ makeBody: () -> HTTPBody) {
        guard let (head, handler) = beginning else { return }
        beginning = nil
        let request = HTTPRequest(
            method: head.method, target: head.uri, version: head.version, headers: head.headers, body: makeBody(),
            remoteAddress: channel.remoteAddress)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop), writer = writer
        Task(executorPreference: isOnLoop ? LoopTasks(channel.eventLoop) : nil) {
            await handler(request, writer)
            bound.eventLoop.execute { bound.value.returned() }
        }
    }

    private func takeWhole() -> HTTPBody {
        defer { parts = [] }
        guard var whole = parts.first else { return .empty }
        for part in parts.dropFirst() { whole.writeImmutableBuffer(part) }
        return HTTPBody(whole)
    }

    private func makeStream() -> HTTPBody {
        let queue = BodyQueue(resume: BodyFlow(channel: channel).produceMore)
        self.queue = queue
        return HTTPBody(queue)
    }

    func receive(_ part: HTTPServerRequestPart) {
        switch part {
        case .head: break
        case .body(let bytes):
            bodyProgress += bytes.readableBytes
            writer.noteReceived(bytes.readableBytes)
            parts.append(bytes)
            // Who reads it goes on while more is read from the socket.
            passParts()
        case .end:
            begin(takeWhole)
            passParts()
            read(.usual)
            bodyTimer?.cancel()
            bodyTimer = nil
            requestEnded = true
            queue?.finish()
            if hasReturned { connection?.turnEnded() }
        }
    }

    /// A body that has come whole by now needs no timer, and no large reads.
    func readComplete(_ connection: ServerConnection) {
        begin(makeStream)
        passParts()
        guard !requestEnded else { return }
        if bodyTimer == nil { startBodyTimer(connection.limits) }
        if isLarge, !hasReturned { read(.ofBodies) }
    }

    private func read(_ size: ReadSize) {
        guard size != readSize else { return }
        readSize = size
        size.set(channel)
    }

    private func passParts() {
        guard !parts.isEmpty, let queue else { return }
        defer { parts = [] }
        if !queue.put(parts) { channel.setOption(.autoRead, value: false).whenFailure { _ in } }
    }

    private func startBodyTimer(_ limits: HTTPLimits) {
        bodyProgress = 0
        bodyTimer = channel.eventLoop.assumeIsolated().scheduleTask(in: limits.bodyTimeout) { [weak self] in
            guard let self, !requestEnded else { return }
            let isHeldUp = (try? channel.syncOptions?.getOption(.autoRead)) == false
            guard isHeldUp || bodyProgress >= limits.bodyProgress else {
                connection?.abort()
                return
            }
            startBodyTimer(limits)
        }
    }

    /// Bytes of the answer go to the connection.
    func hand(_ count: Int) { answered &+= count }

    /// What was written has been given to the kernel, as far as it takes it.
    func flushed() {
        guard !hasReturned, OutputWatch.waiting(channel) > 0 else { return }
        if output == nil {
            output = OutputWatch(channel, limits) { [weak self] in
                self.map { $0.answered &+ $0.writer.sentDirectly } ?? 0
            } stalled: { [weak self] in
                self?.connection?.abort()
            }
        }
        output?.watch()
    }

    private func returned() {
        output?.end()
        guard let connection, case .handler(let current) = connection.turn, current === self else { return }
        // A broken response is never to be taken for a complete one.
        guard writer.isFinished else { return connection.abort() }
        hasReturned = true
        guard keepsAlive, !writer.endsWithConnection else {
            return connection.hasUnread ? connection.closeAfterAnswer() : connection.abort()
        }
        if requestEnded { connection.turnEnded() } else { connection.restAwaited() }
    }

    func clientGone() {
        bodyTimer?.cancel()
        output?.end()
        // The writer first: who waits for the body goes on at once, on another thread, and may answer.
        writer.clientWentAway()
        passParts()
        beginning = nil
        queue?.finish(.failure(HTTPBodyError.clientGone))
    }

    /// The rest of the request cannot be read.
    /// - Returns: whether nothing has been answered; nothing will be by the handler from now on.
    func giveUp() -> Bool {
        let isFirst = writer.takeOver()
        clientGone()
        return isFirst
    }
}

/// How much is read from a socket at once.
private struct ReadSize: Equatable {
    /// Heads and small bodies: what an idle connection keeps is small.
    static let usual = ReadSize(initial: 2048, most: 64 << 10)
    /// Each read and each change of threads brings much of a body that comes fast.
    static let ofBodies = ReadSize(initial: 64 << 10, most: 256 << 10)

    let initial: Int
    let most: Int

    func set(_ channel: any Channel) {
        guard let options = channel.syncOptions else { return }
        try? options.setOption(
            .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: initial, maximum: most))
        // The channel keeps as many buffers as it reads messages at once, of whatever size: lets go of all but one.
        guard let messages = try? options.getOption(.maxMessagesPerRead) else { return }
        try? options.setOption(.maxMessagesPerRead, value: 1)
        try? options.setOption(.maxMessagesPerRead, value: messages)
    }
}
