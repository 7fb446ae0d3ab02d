import CLinux
import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The runs of a session: one at a time, and those in the background.
extension IsolatedSession {
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
            open.process.write(Array(text.utf8))
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
            // Or the other shell would read on in the line of a run that is over.
            open.process.discardInput(of: open.dialogue)
            guard isPossible, (try? open.orders.send(SessionProcess.Order.restart.rawValue)) != nil else { return true }
            (state.isPrepared, state.variables) = (false, [:])
            state.answers = ControlLines(maxLine: IsolationDialogue.maxAnswer)
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

    // MARK: In the background

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
