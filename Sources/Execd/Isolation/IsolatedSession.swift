import CLinux
import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// One isolated session: a shell in namespaces of its own, its runs one after the other, and those in the background.
final class IsolatedSession: Sendable {
    enum Status: String, Encodable, Sendable {
        case active
        /// The shell has ended; what it left is not removed yet.
        case dead
        case destroyed
    }

    private struct Run {
        let number: Int
        let record: CommandRecord
        let events: AsyncStream<ProcessEvent>.Continuation
        /// Why it is being ended.
        var reason: String?
    }

    private struct State {
        var open: OpenSession?
        var turns: RunTurns
        var run: Run?
        /// The variables of the environment file that the shell has.
        var variables: [ExactName: String] = [:]
        var answers: [UInt8] = []
        var background: [String: BackgroundRun] = [:]
        var lastRun: Int64
        var diedAt: Int64?
        var isDestroyed = false
        var isPrepared = false
    }

    let id: String
    let request: IsolationRequest
    let plan: SessionPlan
    let createdAt: Int64
    private let runner: String
    private let environment: CommandEnvironment
    private let state: Mutex<State>
    private let ends = Waiters()
    /// How long the kernel may take to end a session's processes.
    private static let patience = Duration.seconds(5)

    init(id: String, request: IsolationRequest, plan: SessionPlan, host: SessionHost, environment: CommandEnvironment) {
        (self.id, self.request, self.plan, self.environment) = (id, request, plan, environment)
        runner = SessionPlan.runner(in: host.folder)
        createdAt = CommandRunner.now()
        state = Mutex(State(turns: RunTurns(at: Self.now), lastRun: createdAt))
    }

    static var now: Int64 { Int64(SystemClock.monotonicMilliseconds()) }

    /// Builds it. May take as long as the kernel does.
    func open(on host: SessionHost) throws(SessionFailure) {
        let open = try host.open(plan) { self.receive($0) }
        state.withLock { $0.open = open }
    }

    // MARK: How it is

    var status: Status {
        state.withLock { $0.isDestroyed ? .destroyed : $0.diedAt == nil ? .active : .dead }
    }

    var lastRun: Int64 { state.withLock { $0.lastRun } }

    /// Milliseconds; nil for none, as while something runs.
    var idleTime: Int64? {
        state.withLock { state in
            guard !state.background.values.contains(where: \.isRunning) else { return nil }
            let since = state.background.values.compactMap(\.endedAt).max() ?? 0
            return state.turns.idleSince.map { Self.now - max($0, since) }
        }
    }

    /// Seconds until it goes; nil where it does not.
    var idleRemaining: Int64? {
        guard request.idleTimeout > 0, status == .active, let idleTime else { return nil }
        return max(0, (request.idleTimeout * 1000 - idleTime + 999) / 1000)
    }

    /// How long it has been dead, in milliseconds.
    var deadTime: Int64? { state.withLock { $0.diedAt.map { Self.now - $0 } } }

    /// nil when it has ended.
    var root: SessionRoot? { state.withLock { $0.diedAt == nil && !$0.isDestroyed ? $0.open?.root : nil } }

    /// As whom files are read and written.
    var identity: FileIdentity? {
        request.userMode == .userns || request.user == 0 && request.group == 0
            ? nil : FileIdentity(user: request.user, group: request.group)
    }

    // MARK: Runs

    /// Takes a place in the queue; `leave` gives it up.
    func enter() throws(RunQueue.Refusal) -> RunTurns.Turn {
        try state.withLock { (state) throws(RunQueue.Refusal) in try state.turns.enter() }
    }

    func leave(_ turn: RunTurns.Turn) { state.withLock { $0.turns.leave(turn, at: Self.now) } }

    /// Begins a run whose turn has come.
    /// - Returns: its events; nil where the session has ended.
    func begin(_ code: IsolatedRunRequest, _ record: CommandRecord, _ turn: RunTurns.Turn) -> AsyncStream<ProcessEvent>?
    {
        begin(record, turn) { variables, isBash in
            IsolationDialogue.line(
                run: UInt64(turn.number), code.code, runner: self.runner, variables: variables, own: code.envs ?? [:],
                isBash: isBash)
        }
    }

    /// The same for one in the background, which is over when it has been started.
    func begin(_ run: BackgroundRun, _ code: IsolatedRunRequest, _ record: CommandRecord, _ turn: RunTurns.Turn)
        -> AsyncStream<ProcessEvent>?
    {
        begin(record, turn) { variables, isBash in
            IsolationDialogue.line(
                background: run.id, run: UInt64(turn.number), code.code, runner: self.runner, log: run.log,
                status: run.statusFile, variables: variables, own: code.envs ?? [:], isBash: isBash)
        }
    }

    private func begin(
        _ record: CommandRecord, _ turn: RunTurns.Turn, _ line: ([ExactName: String], Bool) -> String
    ) -> AsyncStream<ProcessEvent>? {
        state.withLock { state in
            guard let open = state.open, state.diedAt == nil, !state.isDestroyed else { return nil }
            let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
            state.run = Run(number: turn.number, record: record, events: continuation)
            state.lastRun = CommandRunner.now()
            record.began(open.process)
            let variables = SessionVariables.of(environment.fileVariables(), request.passthrough)
            let changed = variables.filter { state.variables[$0.key] != $0.value }
            state.variables = variables
            let text =
                (state.isPrepared ? "" : IsolationDialogue.opening) + line(changed, plan.shell[0].hasSuffix("/bash"))
            state.isPrepared = true
            // Sending a long one waits until the shell has read most of it.
            FileWork.submit { open.dialogue.send(text) }
            return events
        }
    }

    /// Nobody waits for the run any more: it does not begin, or is ended.
    func abandon(_ turn: RunTurns.Turn, because reason: String) {
        let runs = state.withLock { state in
            guard state.turns.running == turn.number else {
                state.turns.leave(turn, at: Self.now)
                return false
            }
            guard state.run?.number == turn.number, state.run?.reason == nil else { return false }
            state.run?.reason = reason
            return true
        }
        if runs { Task { await end(turn.number) } }
    }

    /// INT as long as a command may take to end after it, then KILL to all but the shell. Again and again: one INT leaves one function,
    /// and a shell that is between two commands may miss it.
    private func end(_ number: Int) async {
        let orders: [(SessionProcess.Order, Int)] = [(.interrupt, 15), (.kill, 5)]
        for (order, times) in orders {
            for _ in 0..<times {
                guard send(order, to: number) else { return }
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
        restart(number)
    }

    /// Another shell in the place of one that ignores what would end its run. In a user namespace of its own none can be started.
    private func restart(_ number: Int) {
        let isPossible = !plan.hasOwnUsers
        let ends = state.withLock { state in
            guard state.run?.number == number, let open = state.open else { return false }
            guard isPossible, (try? open.orders.send(SessionProcess.Order.restart.rawValue)) != nil else { return true }
            (state.isPrepared, state.variables, state.answers) = (false, [:], [])
            finish(.signalled(SIGKILL), nil, &state)
            return false
        }
        if ends { kill() }
    }

    private func send(_ order: SessionProcess.Order, to number: Int) -> Bool {
        state.withLock { state in
            // Under the lock, so that it is not the next run that is ended.
            guard state.run?.number == number, let open = state.open else { return false }
            try? open.orders.send(order.rawValue)
            return true
        }
    }

    // MARK: Its end

    private func kill() {
        state.withLock { state in
            if let open = state.open, state.diedAt == nil { _ = linux_pidfd_send_signal(open.pidfd, SIGKILL) }
        }
    }

    /// Ends all its processes.
    /// - Returns: whether they have ended, within a few seconds.
    func destroy() async -> Bool {
        state.withLock { state in
            state.isDestroyed = true
            if state.run?.reason == nil { state.run?.reason = "the session was deleted" }
            state.turns.close()
        }
        kill()
        _ = await ends.wait(atMost: Self.patience) { state.withLock { $0.open == nil || $0.diedAt != nil } }
        return state.withLock { state in
            guard let open = state.open else { return true }
            guard state.diedAt != nil else { return false }
            // With the last descriptor of its files its mounts go, too.
            close(open.pidfd)
            state.open = nil
            return true
        }
    }

    // MARK: On the loop's thread

    private func receive(_ event: ProcessEvent) {
        defer { if case .ended = event { ends.wake() } }
        state.withLock { state in
            switch event {
            case .output(.control, let bytes):
                state.answers += bytes
                while let end = state.answers.firstIndex(of: UInt8(ascii: "\n")) {
                    let answer = IsolationDialogue.answer(state.answers[..<end])
                    state.answers.removeFirst(end + 1)
                    switch answer {
                    case .run(let number, let code) where state.run.map({ UInt64($0.number) }) == number:
                        finish(.exited(code), nil, &state)
                    case .background(let id, let code):
                        state.background[id]?.end(code: code, at: CommandRunner.now())
                    default: break
                    }
                }
                // None of the shell's own is as long: the session's code has written there.
                if state.answers.count > IsolationDialogue.maxAnswer { state.answers = [] }
            case .output(_, let bytes):
                // Between runs it comes from what they have left, and nobody reads it.
                state.run?.record.produced(bytes.count)
                state.run?.events.yield(event)
            case .took, .refusedInput: break
            case .ended:
                state.diedAt = Self.now
                state.open?.dialogue.end()
                let reason = state.run?.reason ?? Self.hasEnded
                finish(.signalled(SIGKILL), reason, &state)
                state.turns.close()
                for id in state.background.keys { state.background[id]?.terminate(at: CommandRunner.now()) }
            }
        }
    }

    static let hasEnded = "session process has exited"

    private func finish(_ exit: ProcessExit, _ failure: String?, _ state: inout State) {
        guard let run = state.run else { return }
        state.run = nil
        state.lastRun = CommandRunner.now()
        run.record.ended(exit, failure: run.reason ?? failure, at: CommandRunner.now())
        run.events.yield(.ended(exit))
        run.events.finish()
        // Reading may have been paused for this run's client.
        state.open?.process.resumeOutput()
    }
}

// MARK: Background

extension IsolatedSession {
    func backgroundRun(_ id: String) -> BackgroundRun? { state.withLock { $0.background[id] } }

    /// - Returns: false if there are as many as may be.
    func add(_ run: BackgroundRun) -> Bool {
        state.withLock { state in
            guard state.background.count < BackgroundRun.maxRuns else { return false }
            state.background[run.id] = run
            return true
        }
    }

    func forget(_ run: BackgroundRun) { state.withLock { $0.background[run.id] = nil } }

    func terminate(_ run: BackgroundRun) {
        state.withLock { $0.background[run.id]?.terminate(at: CommandRunner.now()) }
    }
}
