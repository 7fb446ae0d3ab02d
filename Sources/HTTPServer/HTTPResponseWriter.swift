import HTTPWire
import NIOCore
import NIOHTTP1
import Synchronization

/// Writes one response, whole or as a stream. A handler that returns without finishing gets the connection closed, so
/// that a broken response is never taken for a complete one.
package final class HTTPResponseWriter: Sendable {
    enum Phase { case waiting, streaming, finished }
    private struct State {
        var phase = Phase.waiting
        var clientGone = false
        var endsWithConnection = false
        /// The end has been written: what is written behind it goes nowhere.
        var isOver = false
        /// The body's bytes go as they are, with nothing between them.
        var isCounted = false
        /// The end of the last part that was written ahead.
        var ahead: EventLoopFuture<Void>?
        var observers: [@Sendable () -> Void] = []
        var serverEnds = false
        var endObservers: [@Sendable () -> Void] = []
    }

    let channel: any Channel
    let request: HTTPRequestHead
    private let keepsAlive: Bool
    private let isPlain: Bool
    private let state = Mutex(State())
    private let direct = Atomic(0)
    private let received = Atomic(0)
    private let handed = Atomic(0)

    /// - Parameters:
    ///   - keepsAlive: the connection goes on behind the response, as far as the request is concerned.
    ///   - isPlain: what is written is what the client gets; with TLS it is not.
    init(channel: any Channel, request: HTTPRequestHead, keepsAlive: Bool, isPlain: Bool) {
        self.channel = channel
        self.request = request
        self.keepsAlive = keepsAlive
        self.isPlain = isPlain
    }

    /// True once the client closed the connection: nothing written any more arrives.
    package var isClosed: Bool { state.withLock { $0.clientGone } }
    /// The client wants no body.
    var isForHEAD: Bool { request.method == .HEAD }
    /// True once a status line went out.
    package var hasStarted: Bool { state.withLock { $0.phase != .waiting } }

    /// Calls `observer` once when the client closes the connection before the response is complete; at once if it has.
    package func whenClientGone(_ observer: @escaping @Sendable () -> Void) {
        let now = state.withLock { state in
            if !state.clientGone && state.phase != .finished { state.observers.append(observer) }
            return state.clientGone
        }
        if now { observer() }
    }

    /// Calls `observer` once when the server ends while the response is not complete; at once if it does. A stream that has no
    /// end of its own finds one then, in less time than `HTTPServer.shutdown` gives.
    package func whenServerEnds(_ observer: @escaping @Sendable () -> Void) {
        let now = state.withLock { state in
            if !state.serverEnds && state.phase != .finished { state.endObservers.append(observer) }
            return state.serverEnds
        }
        if now { observer() }
    }

    /// Whether the server ends.
    package var isEnding: Bool { state.withLock { $0.serverEnds } }

    func serverEnds() {
        let observers = state.withLock { state in
            state.serverEnds = true
            defer { state.endObservers = [] }
            return state.phase == .finished ? [] : state.endObservers
        }
        for observer in observers { observer() }
    }

    /// Of the client's connection.
    package var eventLoop: any EventLoop { channel.eventLoop }

    /// Sends a complete response.
    package func respond(
        _ status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()
    ) async throws {
        var headers = headers
        if status != .noContent && status != .notModified && !headers.contains(name: "content-length") {
            headers.add(name: "content-length", value: String(body.readableBytes))
        }
        try advance(from: .waiting, to: .finished)
        let head = self.head(status, headers)
        let sendsBody = body.readableBytes > 0 && !isForHEAD
        if sendsBody { hand(body) }
        try await onLoop { channel in
            channel.write(HTTPServerResponsePart.head(head), promise: nil)
            if sendsBody { channel.write(HTTPServerResponsePart.body(.byteBuffer(body)), promise: nil) }
            return channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        }
    }

    /// Starts a streamed response: chunked, unless `headers` has a length.
    /// - Parameter first: the first part of the body. If there is one, nobody waits until the socket has taken it; whoever writes
    ///   the next part does.
    package func start(
        _ status: HTTPResponseStatus, headers: HTTPHeaders = [:], first: ByteBuffer = ByteBuffer()
    ) async throws {
        try advance(from: .waiting, to: .streaming)
        var framed = headers
        if headers.contains(name: "content-length") {
            state.withLock { $0.isCounted = true }
        } else if !isForHEAD, ResponseStatus.mayHaveBody(Int(status.code)) {
            if request.version == .http1_1 {
                framed.replaceOrAdd(name: "transfer-encoding", value: "chunked")
            } else {
                state.withLock { $0.endsWithConnection = true }
            }
        }
        let head = self.head(status, framed)
        guard first.readableBytes > 0, !isForHEAD else {
            return try await onLoop { $0.writeAndFlush(HTTPServerResponsePart.head(head)) }
        }
        hand(first)
        let taken = submit { channel in
            channel.write(HTTPServerResponsePart.head(head), promise: nil)
            return channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(first)))
        }
        state.withLock { $0.ahead = taken }
    }

    /// Sends a part of a streamed response, returning when the socket has taken it: a slow client slows its writer.
    package func write(_ bytes: ByteBuffer) async throws {
        guard request.method != .HEAD, bytes.readableBytes > 0 else { return }
        hand(bytes)
        try await onLoop { $0.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(bytes))) }
    }

    /// As `write`, but returns when the part before has been taken, so that the next one is made while this one is on its way.
    package func writeAhead(_ bytes: ByteBuffer) async throws {
        guard request.method != .HEAD, bytes.readableBytes > 0 else { return }
        hand(bytes)
        let taken = submit { $0.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(bytes))) }
        let before = state.withLock { state in
            defer { state.ahead = taken }
            return state.ahead
        }
        try await Self.connected { try await before?.get() }
    }

    /// The client's socket, for bytes of the body that need not pass through this program; nil where they must: with TLS, or where the
    /// body's length is not said.
    package func directOutput() async throws -> DirectOutput? {
        guard isPlain, state.withLock({ $0.isCounted }) else { return nil }
        return try await Self.connected { [self, channel] in
            try await channel.eventLoop.submit { [self] in
                guard !isClosed else { throw ChannelError.ioOnClosedChannel }
                return try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self)
                {
                    // Without a descriptor to spare it goes the other way.
                    try? DirectOutput($0) { [self] in direct.wrappingAdd($0, ordering: .relaxed) }
                } ?? nil
            }.get()
        }
    }

    /// Bytes of the body that did not pass through this program.
    var sentDirectly: Int { direct.load(ordering: .relaxed) }

    /// Bytes of the request's body that have come, and of the answer's that were given away.
    var bodyReceived: Int { received.load(ordering: .relaxed) }
    var bodySent: Int { handed.load(ordering: .relaxed) &+ sentDirectly }

    func noteReceived(_ count: Int) { received.wrappingAdd(count, ordering: .relaxed) }
    private func hand(_ bytes: ByteBuffer) { handed.wrappingAdd(bytes.readableBytes, ordering: .relaxed) }

    /// Ends a streamed response.
    /// - Parameter last: the last part of its body.
    package func finish(_ last: ByteBuffer = ByteBuffer()) async throws {
        try advance(from: .streaming, to: .finished)
        let hasLast = last.readableBytes > 0 && !isForHEAD
        if hasLast { hand(last) }
        try await onLoop { [self] channel in
            state.withLock { $0.isOver = true }
            if hasLast { channel.write(HTTPServerResponsePart.body(.byteBuffer(last)), promise: nil) }
            return channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        }
    }

    /// Whether the handler has given a complete response.
    var isFinished: Bool { state.withLock { $0.phase == .finished } }

    /// The connection has to end for the client to know the response's end.
    var endsWithConnection: Bool { state.withLock { $0.endsWithConnection } }

    /// Keeps the handler from answering from now on.
    /// - Returns: whether it has not begun to.
    func takeOver() -> Bool {
        state.withLock { state in
            state.clientGone = true
            return state.phase == .waiting
        }
    }

    func clientWentAway() {
        let observers = state.withLock { state in
            state.clientGone = true
            defer { state.observers = [] }
            return state.phase == .finished ? [] : state.observers
        }
        for observer in observers { observer() }
    }

    private func head(_ status: HTTPResponseStatus, _ headers: HTTPHeaders) -> HTTPResponseHead {
        var headers = headers
        if !headers.contains(name: "date") { headers.add(name: "date", value: HTTPDate.now()) }
        if !keepsAlive || endsWithConnection {
            headers.replaceOrAdd(name: "connection", value: "close")
        } else if request.version == .http1_0 {
            headers.replaceOrAdd(name: "connection", value: "keep-alive")
        }
        return HTTPResponseHead(version: request.version, status: status, headers: headers)
    }

    func advance(from: Phase, to: Phase) throws {
        try state.withLock { state in
            guard !state.clientGone else { throw HTTPBodyError.clientGone }
            precondition(state.phase == from, "a response is started once and finished once")
            state.phase = to
        }
    }

    private func onLoop(_ write: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>) async throws {
        try await Self.connected { try await submit(write).get() }
    }

    private func submit(_ write: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>) -> EventLoopFuture<Void> {
        // The client may go while this is on its way to the loop.
        channel.eventLoop.flatSubmit { [self, channel] in
            state.withLock { $0.clientGone || $0.isOver }
                ? channel.eventLoop.makeFailedFuture(ChannelError.ioOnClosedChannel) : write(channel)
        }
    }

    /// - Throws: `HTTPBodyError.clientGone` for whatever the connection's end looks like.
    private static func connected<Result>(_ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch is ChannelError { throw HTTPBodyError.clientGone } catch is IOError {
            throw HTTPBodyError.clientGone
        }
    }
}
