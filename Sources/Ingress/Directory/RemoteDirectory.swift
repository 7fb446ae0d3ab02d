import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Redis
import Synchronization
import System

/// Follows the directory of a control plane in another process. While the connection is down the last state stays in
/// force; before the first one, nothing is routed.
package final class RemoteDirectory: EndpointDirectory {
    package static let path = "/v1/directory"
    /// The query parameter with the position.
    package static let positionParameter = "after"

    private struct State: Sendable {
        var replica = DirectoryReplica()
        /// When something came last, by the monotonic clock.
        var heard: UInt64 = 0
        var observers: [@Sendable (EndedAccess) -> Void] = []
        var followers: [@Sendable (DirectoryPosition) -> Void] = []
    }

    private let address: DirectoryAddress
    private let secret: String
    private let logger: Logger
    private let renewals: (any RenewalSink)?
    private let socketFolder: String?
    private let state = Mutex(State())

    /// The directory sends something every second.
    private static let maxSilence = TimeAmount.seconds(5)
    /// Nanoseconds without a word after which the state counts as old: a server that is started again is back within that time.
    private static let currency: UInt64 = 10_000_000_000
    /// A snapshot is one line of about 500 bytes per sandbox.
    private static let maxLine = 256 << 20
    /// Milliseconds between two attempts.
    private static let shortestPause: UInt64 = 50
    private static let maxPause: UInt64 = 2000

    /// - Parameters:
    ///   - secret: the control plane's secret, sent as `Authorization: Bearer`.
    ///   - renewals: called for accesses to sandboxes that are renewed by them; nil for none.
    ///   - socketFolder: the present folder, by the name that the control plane has for it. Sockets in it are reached from here,
    ///     also where a folder above it may not be entered.
    package init(
        address: DirectoryAddress, secret: String, renewals: (any RenewalSink)? = nil, socketFolder: String? = nil,
        logger: Logger
    ) {
        self.address = address
        self.secret = secret
        self.renewals = renewals
        self.socketFolder = socketFolder.map { $0 + "/" }
        self.logger = logger
    }

    package var isReady: Bool { state.withLock { $0.replica.position != nil } }

    package var isCurrent: Bool {
        let now = SystemClock.monotonicNanoseconds()
        return state.withLock { $0.replica.position != nil && now &- $0.heard < Self.currency }
    }

    package func lookup(sandbox: String, port: Int) -> EndpointLookup {
        let (entry, isReady) = state.withLock { ($0.replica.entries[sandbox], $0.replica.position != nil) }
        guard let entry else { return isReady ? .unknown : .unavailable }
        let found = entry.lookup(port)
        guard let socketFolder, case .found(var backend) = found, case .unix(let path) = backend.address,
            path.hasPrefix(socketFolder)
        else { return found }
        backend.address = .unix(path: String(path.dropFirst(socketFolder.count)))
        return .found(backend)
    }

    package func accessed(sandbox: String, renew: Bool) {
        guard renew, let renewals, state.withLock({ $0.replica.entries[sandbox]?.renews ?? false }) else { return }
        renewals.accessed(sandbox)
    }

    package func whenAccessEnds(_ observer: @escaping @Sendable (EndedAccess) -> Void) {
        state.withLock { $0.observers.append(observer) }
    }

    /// - Parameter follower: called with this gateway's position after each change.
    package func whenApplied(_ follower: @escaping @Sendable (DirectoryPosition) -> Void) {
        state.withLock { $0.followers.append(follower) }
    }

    // MARK: following

    /// Follows the stream until the task is cancelled, and reconnects when it breaks.
    package func follow() async {
        var backOff = BackOff(first: Self.shortestPause, longest: Self.maxPause)
        var asksForAll = false
        while !Task.isCancelled {
            let begin = ContinuousClock.now
            do {
                try await listen(after: asksForAll ? nil : state.withLock { $0.replica.position })
            } catch {
                guard !Task.isCancelled else { return }
                asksForAll = error as? DirectoryError == .gap
                logger.warning(
                    "the directory cannot be reached; routes stay as it last gave them",
                    metadata: [
                        "directory": "\(address)", "error": "\(ConnectionFailure.reason(error))",
                        "has-state": "\(isReady)",
                    ])
            }
            if ContinuousClock.now - begin > .milliseconds(Self.maxPause) { backOff.reset() }
            // Not all gateways at the same moment.
            try? await Task.sleep(for: backOff.spread())
        }
    }

    /// Follows one connection until it breaks.
    private func listen(after position: DirectoryPosition?) async throws {
        let place = try address.socketAddress()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(2))
            .connect(to: place) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandlers([
                        IdleStateHandler(readTimeout: Self.maxSilence), SilenceWatch(DirectoryError.silent),
                    ])
                    try pipeline.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>(
                        wrappingChannelSynchronously: channel)
                }
            }
        try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(.head(request(after: position)))
            try await outbound.write(.end(nil))
            var splitter = LineSplitter(maxLine: Self.maxLine)
            for try await part in inbound {
                switch part {
                case .head(let head):
                    guard head.status == .ok else { throw DirectoryError.refused(status: Int(head.status.code)) }
                case .body(let bytes):
                    let lines: [[UInt8]]
                    do { lines = try splitter.take(bytes.readableBytesView) } catch { throw DirectoryError.lineTooLong }
                    for line in lines { try apply(DirectoryMessage(line: line)) }
                case .end: throw DirectoryError.ended
                }
            }
            throw DirectoryError.ended
        }
    }

    private func request(after position: DirectoryPosition?) -> HTTPRequestHead {
        let query = position.map { "?\(Self.positionParameter)=\($0)" } ?? ""
        return HTTPRequestHead(
            version: .http1_1, method: .GET, uri: Self.path + query,
            headers: ["host": "directory", "authorization": "Bearer \(secret)"])
    }

    private func apply(_ message: DirectoryMessage) throws(DirectoryError) {
        let (ended, observers, followers, position) = try state.withLock { state throws(DirectoryError) in
            let before = state.replica.position
            state.heard = SystemClock.monotonicNanoseconds()
            let ended = try state.replica.apply(message)
            // Heartbeats change nothing.
            let isNew = state.replica.position != before
            return (ended, state.observers, isNew ? state.followers : [], state.replica.position)
        }
        if case .snapshot(let position, let entries) = message {
            logger.info(
                "received all routes of the directory",
                metadata: ["position": "\(position)", "sandboxes": "\(entries.count)"])
        }
        for access in ended { for observer in observers { observer(access) } }
        if let position { for follower in followers { follower(position) } }
    }
}

/// Records that a sandbox was used. Called on event loops, so it must not block.
package protocol RenewalSink: Sendable {
    func accessed(_ sandbox: String)
}
