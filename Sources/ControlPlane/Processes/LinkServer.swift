import CLinux
import Ingress
import Logging
import NIOCore
import Supervision
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The server's end of the link: dials for gateways that may not, hears which sandboxes are used, and knows how far gateways have
/// followed the directory.
final class LinkServer: Sendable {
    private struct Peer: Sendable {
        let socket: SharedMessageSocket
        var applied: DirectoryPosition?
    }

    private struct State: Sendable {
        var peers: [UInt64: Peer] = [:]
        var nextPeer: UInt64 = 0
        var isStopped = false

        func areSettled(_ position: DirectoryPosition) -> Bool {
            peers.values.allSatisfy { peer in
                peer.applied.map { $0.stream == position.stream && $0.sequence >= position.sequence } ?? false
            }
        }
    }

    private let listener: CInt
    private let user: UInt32
    private let routes: RouteTable
    private let dialer: (any InsideDialer)?
    private let group: any EventLoopGroup
    private let logger: Logger
    private let state = Mutex(State())
    /// Those who wait for gateways to follow.
    private let waiters = Waiters()

    private static let pause: UInt32 = 100_000
    private static let maxPeers = 4
    /// A gateway that takes longer hears of a change when it does.
    private static let patience = Duration.milliseconds(250)

    /// - Parameters:
    ///   - listener: of `ListeningSocket.messages`.
    ///   - user: who may connect besides root.
    init(
        listener: CInt, user: UInt32, routes: RouteTable, dialer: (any InsideDialer)?, group: any EventLoopGroup,
        logger: Logger
    ) throws {
        self.listener = listener
        self.user = user
        self.routes = routes
        self.dialer = dialer
        self.group = group
        self.logger = logger
        try DetachedThread.start { [self] in accept() }
    }

    func shutdown() {
        let peers = state.withLock { state in
            state.isStopped = true
            defer { state.peers = [:] }
            return state.peers.values
        }
        for peer in peers { peer.socket.shutdown() }
        waiters.wake()
    }

    /// Returns when every gateway of this machine routes by the present state of the directory: what a client is told next is
    /// true at the gateway, too.
    func settled() async {
        let position = routes.position
        _ = await waiters.wait(atMost: Self.patience) {
            state.withLock { $0.isStopped || $0.areSettled(position) }
        }
    }

    // MARK: connections

    private func accept() {
        while true {
            let descriptor = linux_accept(listener)
            guard descriptor >= 0 else {
                guard errno != EBADF, errno != EINVAL else { return }
                // No descriptors are left, or no memory: there will be.
                if errno != EINTR, errno != ECONNABORTED { usleep(Self.pause) }
                continue
            }
            let socket = MessageSocket(descriptor: descriptor)
            let link = SharedMessageSocket(socket)
            let number = state.withLock { state -> UInt64? in
                let isKnown = socket.peerUser == 0 || socket.peerUser == user
                guard isKnown, !state.isStopped, state.peers.count < Self.maxPeers else { return nil }
                state.nextPeer += 1
                state.peers[state.nextPeer] = Peer(socket: link)
                return state.nextPeer
            }
            guard let number, (try? DetachedThread.start { [self] in serve(number, socket, link) }) != nil else {
                logger.warning("refused a connection to the gateway's link: not the gateway's user, or too many")
                if let number { settle(number, nil) }
                link.close()
                continue
            }
        }
    }

    private func serve(_ number: UInt64, _ socket: MessageSocket, _ link: SharedMessageSocket) {
        let loop = group.next()
        while let message = try? socket.receive() {
            // Nothing that a gateway sends has a descriptor.
            if let descriptor = message.descriptor { close(descriptor) }
            guard let request = LinkRequest(message.bytes) else { break }
            switch request {
            case .dial(let dial, let port, let incarnation): self.dial(dial, port, incarnation, link, loop)
            case .accessed(let sandbox): routes.accessed(sandbox: sandbox, renew: true)
            case .applied(let stream, let sequence):
                settle(number, DirectoryPosition(stream: stream, sequence: sequence))
            }
        }
        settle(number, nil)
        link.close()
    }

    private func dial(
        _ number: UInt64, _ port: UInt16, _ incarnation: String, _ link: SharedMessageSocket, _ loop: any EventLoop
    ) {
        // A gateway that does not read its answers does without them.
        @Sendable func answer(_ code: Int32, _ connection: CInt? = nil) {
            try? link.send(LinkReply(number: number, code: code).bytes, descriptor: connection)
        }
        guard let dialer else { return answer(LinkReply.unreachable) }
        dialer.dial(inside: incarnation, port: Int(port), on: loop).whenComplete { result in
            switch result {
            case .success(let connection):
                answer(0, connection)
                close(connection)
            case .failure(let error):
                answer((error as? IOError)?.errnoCode ?? LinkReply.unreachable)
            }
        }
    }

    /// Notes how far a gateway is; nil: it is gone.
    private func settle(_ number: UInt64, _ position: DirectoryPosition?) {
        state.withLock { state in
            if let position { state.peers[number]?.applied = position } else { state.peers[number] = nil }
        }
        waiters.wake()
    }
}
