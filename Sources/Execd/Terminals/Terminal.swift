import HTTPServer
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// One terminal of this execd: a shell, its output, and the clients that are connected to it.
final class Terminal: Sendable {
    typealias ClientID = TerminalState.ClientID
    /// Ends a client's connection, and cuts it when the client has not answered in that time.
    typealias Cut = @Sendable (WebSocketClose, Duration) -> Void

    struct State {
        var terminal = TerminalState()
        var pace = Pace()
        var input = InputFlow()
        var process: RunningProcess?
        var cuts: [ClientID: Cut] = [:]
        /// Since when a client is being sent something.
        var sending: [ClientID: ContinuousClock.Instant] = [:]
        /// Clients that wait for something to be sent.
        var waiting: [ClientID: CheckedContinuation<Void, Never>] = [:]
        /// Counts what clients may be waiting for.
        var changes: UInt64 = 0
        var launching: [CheckedContinuation<SpawnError?, Never>] = []
        var isWatched = false
        var lastUse = ContinuousClock.now
    }

    let id: String
    let request: TerminalRequest
    let folder: String?
    let runner: CommandRunner
    private let memory: ByteBudget
    private let state = Mutex(State())
    /// Those who wait for input to be read, or for the shell's end.
    let waiters = Waiters()

    /// - Parameter folder: where its shells start; nil for execd's.
    init(id: String, _ request: TerminalRequest, folder: String?, runner: CommandRunner, memory: ByteBudget) {
        self.id = id
        self.request = request
        self.folder = folder
        self.runner = runner
        self.memory = memory
    }

    deinit { memory.give(state.withLock { $0.terminal.ring.granted }) }

    struct Status: Hashable, Sendable, Encodable {
        var session_id: String
        var running: Bool
        var output_offset: Int
        var launch_attempted: Bool
        var launch_failed: Bool
    }

    var status: Status {
        state.withLock { state in
            let terminal = state.terminal
            return Status(
                session_id: id, running: terminal.phase == .running, output_offset: terminal.ring.end,
                launch_attempted: terminal.launches > 0, launch_failed: terminal.lastLaunchFailed)
        }
    }

    /// Since when it has had neither a client nor a shell; nil while it has.
    var idleSince: ContinuousClock.Instant? {
        state.withLock { $0.terminal.clients.isEmpty && $0.terminal.phase == .idle ? $0.lastUse : nil }
    }

    /// Changes the state; then the shell is paused or goes on as its holder needs, and clients that wait look again.
    func change<Result: Sendable, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let (result, woken) = try state.withLock { (state) throws(Failure) in
            let result = try body(&state)
            state.changes &+= 1
            apply(state.pace.update(behind: state.terminal.behind, capacity: state.terminal.ring.capacity), &state)
            let woken = Array(state.waiting.values)
            state.waiting.removeAll(keepingCapacity: true)
            return (result, woken)
        }
        for continuation in woken { continuation.resume() }
        return result
    }

    func look<Result>(_ body: (State) -> Result) -> Result { state.withLock { body($0) } }

    private func apply(_ change: Pace.Change?, _ state: inout State) {
        switch change {
        case .pause:
            state.process?.pauseOutput()
            watch(&state)
        case .resume: state.process?.resumeOutput()
        case nil: break
        }
    }

    // MARK: Clients

    /// Whether a client would be let in now.
    func check(_ query: TerminalQuery) throws(TerminalRefusal) {
        try state.withLock { (state) throws(TerminalRefusal) in try state.terminal.check(query) }
    }

    var isHeld: Bool { state.withLock { $0.terminal.holder != nil } }

    /// Lets a client in, in the place of the holder if it takes over.
    func attach(_ query: TerminalQuery, cut: @escaping Cut) throws -> ClientID {
        let (client, evicted) = try change { state in
            let (client, evicted) = try state.terminal.attach(query)
            state.cuts[client] = cut
            return (client, evicted.flatMap { state.cuts[$0] })
        }
        evicted?(WebSocketClose(4001, "TAKEN_OVER"), .milliseconds(200))
        return client
    }

    /// To be called once by whoever attached the client; what is sent to it ends.
    func detach(_ client: ClientID) {
        change { state in
            state.terminal.detach(client)
            state.cuts[client] = nil
            state.sending[client] = nil
            state.lastUse = .now
        }
    }

    /// Waits for the next thing to send to a client. What was returned before has been sent.
    func next(for client: ClientID) async -> TerminalDelivery {
        while true {
            let (delivery, seen) = take(for: client)
            if let delivery { return delivery }
            await withCheckedContinuation { continuation in
                let hasChanged = state.withLock { state in
                    guard state.changes == seen else { return true }
                    state.waiting[client] = continuation
                    return false
                }
                if hasChanged { continuation.resume() }
            }
        }
    }

    private func take(for client: ClientID) -> (TerminalDelivery?, seen: UInt64) {
        state.withLock { state in
            let delivery = state.terminal.next(for: client)
            let isSending = if case .end? = delivery { false } else { delivery != nil }
            state.sending[client] = isSending ? .now : nil
            apply(state.pace.update(behind: state.terminal.behind, capacity: state.terminal.ring.capacity), &state)
            return (delivery, state.changes)
        }
    }

    // MARK: Those who do not read

    /// How long one message may take to be sent before its client is cut off (EXECD contract).
    private static let maxSending = Duration.seconds(10)

    /// Looks at slow clients every interval while there are any.
    private func watch(_ state: inout State) {
        guard !state.isWatched else { return }
        state.isWatched = true
        Task { [weak self] in
            repeat { try? await Task.sleep(for: Pace.interval) } while self?.lookAtSlowClients() == true
        }
    }

    private func lookAtSlowClients() -> Bool {
        let (cuts, goesOn) = state.withLock { state in
            apply(state.pace.check(position: state.terminal.holderPosition), &state)
            let now = ContinuousClock.now
            let cuts = state.sending.filter { now - $0.value > Self.maxSending }.compactMap { state.cuts[$0.key] }
            state.isWatched = state.pace.isHolding || state.sending.values.contains { now - $0 > Pace.interval }
            return (cuts, state.isWatched)
        }
        for cut in cuts { cut(WebSocketClose(1008, "the client does not read"), .zero) }
        return goesOn
    }

    // MARK: The shell

    func receive(_ event: ProcessEvent, _ record: CommandRecord) {
        switch event {
        case .output(let stream, let bytes):
            change { state in
                state.terminal.append(bytes, of: stream, grant: memory.take)
                let now = ContinuousClock.now
                if state.sending.values.contains(where: { now - $0 > Pace.interval }) { watch(&state) }
            }
        case .took(let count):
            change { $0.input.took(count) }
            waiters.wake()
        case .refusedInput: change { $0.terminal.failInput("the shell has closed its input") }
        case .ended(let exit):
            record.ended(exit, failure: nil, at: CommandRunner.now())
            change { state in
                state.terminal.ended(exit)
                state.process = nil
                state.lastUse = .now
                state.input.end()
            }
            waiters.wake()
        }
    }
}
