import Addresses
import CCurl
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The thread on which libcurl transfers everything of one client. It is started by the first request and ends with the
/// client.
final class TransferLoop: Sendable {
    enum Command: Sendable {
        case start(Transfer)
        /// The answer to a look-up.
        case resolved(Transfer, [IPAddress])
        /// The transfer's other side has made room, or has more to send.
        case resume(Transfer)
        case cancel(Transfer)
        case stop
    }

    private let commands: CommandQueue<Command>
    /// Kept by connections that are not in use.
    static let maxConnections = 16

    /// - Parameters:
    ///   - mark: for every socket.
    ///   - lookUp: called for a host that is no address; calls back from any thread, once.
    init(
        mark: HTTPClient.SocketMark?,
        lookUp: @escaping @Sendable (_ host: String, @escaping @Sendable ([IPAddress]) -> Void) -> Void
    ) throws(HTTPClientError) {
        do throws(SystemCallError) {
            let commands = try CommandQueue<Command>()
            self.commands = commands
            try DetachedThread.start {
                TransferThread(commands, mark: mark, lookUp: lookUp).run()
            }
        } catch {
            throw .unavailable("no thread for requests: \(error)")
        }
    }

    func send(_ command: Command) { commands.send(command) }
}

/// What only the loop's thread touches.
private final class TransferThread {
    private let commands: CommandQueue<TransferLoop.Command>
    private let lookUp: @Sendable (String, @escaping @Sendable ([IPAddress]) -> Void) -> Void
    private let sockets: UnsafeMutablePointer<ccurl_socket_options>
    private let multi: UnsafeMutableRawPointer?
    private var running: [ObjectIdentifier: RunningTransfer] = [:]
    private var isStopping = false
    /// The longest wait, for whatever libcurl and this do not foresee.
    private static let maxWait: UInt64 = 60_000

    init(
        _ commands: CommandQueue<TransferLoop.Command>, mark: HTTPClient.SocketMark?,
        lookUp: @escaping @Sendable (String, @escaping @Sendable ([IPAddress]) -> Void) -> Void
    ) {
        self.commands = commands
        self.lookUp = lookUp
        sockets = .allocate(capacity: 1)
        sockets.initialize(
            to: ccurl_socket_options(is_marked: mark != nil, mark: mark?.mark ?? 0, priority: mark?.priority ?? 0))
        multi = ccurl_multi_create(TransferLoop.maxConnections)
    }

    deinit {
        if let multi { ccurl_multi_free(multi) }
        sockets.deallocate()
    }

    func run() {
        // libcurl with TLS writes to sockets whose other end may be gone. The signal stays blocked on this thread.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        while true {
            for command in commands.take() { obey(command) }
            if isStopping { break }
            guard let multi else {
                endAll(.unavailable("libcurl has no memory"))
                wait()
                continue
            }
            if ccurl_multi_perform(multi) != CURLM_OK { endAll(.unavailable("libcurl has failed")) }
            while true {
                var code = CURLE_OK
                guard let handle = ccurl_multi_ended(multi, &code) else { break }
                let transfer = RunningTransfer.of(ccurl_get_private(handle))
                end(transfer, transfer.outcome(code))
            }
            let now = SystemClock.monotonicMilliseconds()
            for transfer in running.values where transfer.isOverdue(at: now) { end(transfer, .failure(.timedOut)) }
            wait()
        }
        endAll(.cancelled)
    }

    private func wait() {
        let now = SystemClock.monotonicMilliseconds()
        let next = running.values.compactMap(\.deadline).min() ?? .max
        let pause = CInt(min(next > now ? next - now : 0, Self.maxWait))
        guard let multi else {
            var entry = pollfd(fd: commands.descriptor, events: Int16(POLLIN), revents: 0)
            poll(&entry, 1, pause)
            return
        }
        if ccurl_multi_poll(multi, commands.descriptor, pause) != CURLM_OK {
            endAll(.unavailable("libcurl cannot wait"))
        }
    }

    // MARK: Commands

    private func obey(_ command: TransferLoop.Command) {
        switch command {
        case .start(let transfer): start(transfer)
        case .resolved(let transfer, let addresses):
            guard let one = running[ObjectIdentifier(transfer)] else { return }
            guard !addresses.isEmpty else {
                return end(one, .failure(.unresolved(host: RunningTransfer.destination(transfer.peer).host)))
            }
            open(one, addresses)
        case .resume(let transfer):
            running[ObjectIdentifier(transfer)]?.resume()
        case .cancel(let transfer):
            if let one = running[ObjectIdentifier(transfer)] { end(one, .failure(.cancelled)) }
        case .stop: isStopping = true
        }
    }

    private func start(_ transfer: Transfer) {
        let one = RunningTransfer(transfer)
        running[ObjectIdentifier(transfer)] = one
        let host = RunningTransfer.destination(transfer.peer).host
        guard transfer.peer.unixSocket == nil, IPAddress(host) == nil else { return open(one, nil) }
        let commands = commands
        lookUp(host) { commands.send(.resolved(transfer, $0)) }
    }

    private func open(_ one: RunningTransfer, _ addresses: [IPAddress]?) {
        guard let multi else { return }
        do throws(HTTPClientError) {
            let handle = try one.open(addresses, sockets: sockets)
            if ccurl_multi_add(multi, handle) != CURLM_OK { end(one, .failure(.unavailable("libcurl has failed"))) }
        } catch {
            end(one, .failure(error))
        }
    }

    private func end(_ one: RunningTransfer, _ outcome: Result<Void, HTTPClientError>) {
        running[ObjectIdentifier(one.transfer)] = nil
        if let multi, let handle = one.options?.handle { _ = ccurl_multi_remove(multi, handle) }
        one.transfer.finish(outcome)
    }

    private func endAll(_ error: HTTPClientError) {
        for one in Array(running.values) { end(one, .failure(error)) }
    }
}
