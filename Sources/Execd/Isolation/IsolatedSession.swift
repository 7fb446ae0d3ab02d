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

    struct Run {
        let number: Int
        let record: CommandRecord
        let events: AsyncStream<ProcessEvent>.Continuation
        /// Why it is being ended.
        var reason: String?
    }

    struct State {
        var open: OpenSession?
        var turns: RunTurns
        var run: Run?
        /// The variables of the environment file that the shell has.
        var variables: [ExactName: String] = [:]
        var answers = ControlLines(maxLine: IsolationDialogue.maxAnswer)
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
    /// The file that runs code.
    let runner: String
    let environment: CommandEnvironment
    let state: Mutex<State>
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

    // MARK: Its end

    func kill() {
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
                for line in state.answers.append(bytes) {
                    switch IsolationDialogue.answer(line) {
                    case .run(let number, let code) where state.run.map({ UInt64($0.number) }) == number:
                        finish(.exited(code), nil, &state)
                    case .background(let id, let code):
                        state.background[id]?.end(code: code, at: CommandRunner.now())
                    default: break
                    }
                }
                // What the session's code has written there is passed over.
                if state.answers.isBroken { state.answers = ControlLines(maxLine: IsolationDialogue.maxAnswer) }
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

    func finish(_ exit: ProcessExit, _ failure: String?, _ state: inout State) {
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
