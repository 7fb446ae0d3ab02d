import Ingress
import Logging
import NIOCore
import Supervision
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The gateway's end of the link: what it may not do itself it asks the server for. While the server is away, what is asked
/// waits in the socket that the supervisor keeps.
final class LinkClient: InsideDialer, RenewalSink {
    private struct State: Sendable {
        var socket: SharedMessageSocket?
        var number: UInt64 = 0
        var pending: [UInt64: EventLoopPromise<CInt>] = [:]
        var applied: DirectoryPosition?
    }

    private let path: String
    private let logger: Logger
    private let state = Mutex(State())

    /// Dials that wait; each is of a client's request, of which the gateway bounds the number.
    private static let maxPending = 8192
    /// The server gives up before that; one that does not answer is away.
    private static let patience = TimeAmount.seconds(5)
    private static let pause: UInt32 = 100_000

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
    }

    /// Connects, reads answers, and connects again, until the process ends.
    func start() throws {
        try DetachedThread.start { [self] in
            while true {
                do {
                    let socket = try MessageSocket.connect(path: path)
                    let link = SharedMessageSocket(socket)
                    let applied = state.withLock { state in
                        state.socket = link
                        return state.applied
                    }
                    if let applied { tell(applied) }
                    defer { lose(link) }
                    while let message = try socket.receive() { take(message) }
                } catch {
                    logger.warning(
                        "the gateway cannot reach the server's link; it tries again", metadata: ["error": "\(error)"])
                }
                usleep(Self.pause)
            }
        }
    }

    /// The gateway routes by this state from now on.
    func tell(_ position: DirectoryPosition) {
        let socket = state.withLock { state in
            state.applied = position
            return state.socket
        }
        try? socket?.send(LinkRequest.applied(stream: position.stream, sequence: position.sequence).bytes)
    }

    // MARK: RenewalSink

    func accessed(_ sandbox: String) {
        // One that is lost is followed by the next request's.
        try? state.withLock { $0.socket }?.send(LinkRequest.accessed(sandbox: sandbox).bytes)
    }

    // MARK: InsideDialer

    func dial(inside incarnation: String, port: Int, on loop: any EventLoop) -> EventLoopFuture<CInt> {
        guard let port = UInt16(exactly: port) else {
            return loop.makeFailedFuture(LoopbackDialer.UnreachableError.unreachable)
        }
        let promise = loop.makePromise(of: CInt.self)
        let (socket, number) = state.withLock { state -> (SharedMessageSocket?, UInt64) in
            guard state.pending.count < Self.maxPending else { return (nil, 0) }
            state.number += 1
            state.pending[state.number] = promise
            return (state.socket, state.number)
        }
        guard number > 0 else {
            promise.fail(LoopbackDialer.UnreachableError.unreachable)
            return promise.futureResult
        }
        let deadline = loop.scheduleTask(in: Self.patience) { [self] in
            end(number, .failure(IOError(errnoCode: ETIMEDOUT, reason: "dialling inside a sandbox")))
        }
        promise.futureResult.whenComplete { _ in deadline.cancel() }
        let request = LinkRequest.dial(number: number, port: port, incarnation: incarnation)
        guard let socket, (try? socket.send(request.bytes)) != nil else {
            end(number, .failure(LoopbackDialer.UnreachableError.unreachable))
            return promise.futureResult
        }
        return promise.futureResult
    }

    private func take(_ message: MessageSocket.Message) {
        guard let reply = LinkReply(message.bytes) else {
            if let descriptor = message.descriptor { close(descriptor) }
            return
        }
        if let descriptor = message.descriptor {
            end(reply.number, .success(descriptor))
        } else if reply.code > 0 {
            end(reply.number, .failure(IOError(errnoCode: reply.code, reason: "connect")))
        } else {
            end(reply.number, .failure(LoopbackDialer.UnreachableError.unreachable))
        }
    }

    private func end(_ number: UInt64, _ result: Result<CInt, any Error>) {
        guard let promise = state.withLock({ $0.pending.removeValue(forKey: number) }) else {
            if case .success(let descriptor) = result { close(descriptor) }
            return
        }
        promise.completeWith(result)
    }

    private func lose(_ socket: SharedMessageSocket) {
        let lost = state.withLock { state in
            state.socket = nil
            defer { state.pending = [:] }
            return state.pending.values
        }
        socket.close()
        for promise in lost { promise.fail(LoopbackDialer.UnreachableError.unreachable) }
    }
}
