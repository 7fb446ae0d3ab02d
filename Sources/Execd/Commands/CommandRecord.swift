import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The state of one command, for status, logs and interruption.
final class CommandRecord: Sendable {
    struct State: Sendable {
        var process: RunningProcess?
        var exit: ProcessExit?
        /// Why it has no exit code of its own: it did not start, or ran into its time limit.
        var failure: String?
        /// Further explanation for a command that failed.
        var explanation: String?
        /// execd has ended it as one (`StormWatch`).
        var wasStorm = false
        var finishedAt: Int64?
        /// Told of its end.
        var observer: Observer?
        /// Bytes of output not read by the client, or not written to the log yet.
        var waiting = 0
        /// Nothing is read from the process meanwhile.
        var isPaused = false
    }

    /// Is told whether it went well, and after how many milliseconds.
    typealias Observer = @Sendable (_ isSuccess: Bool, _ milliseconds: Int64) -> Void

    /// How many bytes of a command's output may wait for its client, or its log, and how few are left when reading goes on: by then the pipe
    /// is full again, and each read brings much.
    static let maxWaiting = 1 << 20, resumedAt = 256 << 10
    /// A variable of all that a command starts, with its id, by which it is found when the command is ended.
    static let marker: ExactName = "SALLYPORT_COMMAND"

    let id: String
    let content: String
    let startedAt: Int64
    /// A background command's output.
    let log: CommandLog?
    /// Where clients write a command's standard input; nil if it has none.
    let input: CommandInput?
    /// Where it shares its process with others, the time from which on descendants are its own (`ProcessStat.start`).
    private let since: UInt64
    private let memory: MemoryGroup
    private let earlierKills: UInt64?
    private let state = Mutex(State())

    init(
        id: String, content: String, startedAt: Int64, memory: MemoryGroup = .own, log: CommandLog? = nil,
        input: CommandInput? = nil, sharesProcess: Bool = false
    ) {
        self.id = id
        self.content = content
        self.startedAt = startedAt
        self.log = log
        self.input = input
        // A process of the same tick may be an earlier one's. What this one starts in it has the variable.
        since = sharesProcess ? ProcessStat.now + 1 : 0
        self.memory = memory
        earlierKills = memory.kills
    }

    var current: State { state.withLock { $0 } }

    /// Records the process, unless it has ended already.
    func began(_ process: RunningProcess) {
        state.withLock { if $0.finishedAt == nil { $0.process = process } }
    }

    /// Counts output that waits for the client. If there is too much, reading from the process is paused.
    func produced(_ bytes: Int) {
        state.withLock { state in
            state.waiting += bytes
            guard state.waiting > Self.maxWaiting, !state.isPaused, let process = state.process else { return }
            state.isPaused = true
            process.pauseOutput()
        }
    }

    func consumed(_ bytes: Int) {
        state.withLock { state in
            state.waiting -= bytes
            guard state.isPaused, state.waiting <= Self.resumedAt else { return }
            state.isPaused = false
            state.process?.resumeOutput()
        }
    }

    /// Notes the end. From here on no signal goes out: the pid may be another's.
    ///
    /// A command whose first process the kernel has killed for memory ends as a whole. What it left would go on holding
    /// the memory, and a storm would go on starting processes with nobody to stop it.
    func ended(_ exit: ProcessExit?, failure: String?, at now: Int64) {
        let explanation = exit?.code == 0 ? nil : memory.reason(since: earlierKills)
        let ended = state.withLock { state in
            // The number is not another's yet: the kernel gives none out that a group still has, and an empty group's
            // has been free for microseconds.
            if exit == .signalled(SIGKILL), explanation != nil { state.process?.signalGroup(SIGKILL) }
            state.process = nil
            state.exit = exit
            state.explanation = explanation.map { state.wasStorm ? $0 + Self.stormEnd : $0 }
            state.failure = state.failure ?? failure
            state.finishedAt = now
            defer { state.observer = nil }
            return state
        }
        ended.observer?(isSuccess(ended), now - startedAt)
    }

    /// Has its end told, at once if it is over.
    func whenEnded(_ observer: @escaping Observer) {
        let over = state.withLock { state -> State? in
            guard state.finishedAt == nil else { return state }
            state.observer = observer
            return nil
        }
        if let over { observer(isSuccess(over), (over.finishedAt ?? startedAt) - startedAt) }
    }

    private func isSuccess(_ state: State) -> Bool { state.failure == nil && state.exit == .exited(0) }

    private static let stormEnd = ", and execd the whole command, which went on starting others"

    /// Notes that execd is about to end it, and why.
    func noteStorm() { state.withLock { $0.wasStorm = true } }

    /// Signals the group while the process runs.
    /// - Returns: whether it was running.
    @discardableResult
    func signal(_ number: Int32, because reason: String? = nil) -> Bool {
        state.withLock { state in
            guard let process = state.process else { return false }
            if let reason { state.failure = reason }
            process.signalGroup(number)
            return true
        }
    }

    /// Adds output to the log.
    func append(_ bytes: [UInt8]) {
        produced(bytes.count)
        log?.append(bytes) { [weak self] count in self?.consumed(count) }
    }

    // MARK: Its end

    /// Threads that only look at /proc, which never takes long.
    fileprivate static let lookers = WorkerPool(maxThreads: 2)

    /// Kills it with all that it has started, whatever groups and sessions those have made.
    /// - Parameter reason: why, for its status.
    /// - Returns: whether it was running.
    @discardableResult
    func kill(because reason: String? = nil) -> Bool {
        guard let first = running(reason) else { return false }
        let processes = processes(of: first)
        Self.lookers.submit { [self] in
            // Before it ends: what it has started is another's child then.
            let found = processes.findByDescent()
            signal(SIGKILL)
            finishOff(found)
        }
        return true
    }

    /// Asks it to end, with all that it has started.
    /// - Returns: what has been asked; nil if it was not running.
    func terminate() async -> Set<ProcessStat>? {
        guard let first = running(nil) else { return nil }
        return await Self.lookers.run { [self] in
            let found = processes(of: first).findByDescent()
            signal(SIGTERM)
            for process in found where process.group != first { Glibc.kill(process.pid, SIGTERM) }
            return found
        }
    }

    /// Kills what is left of it.
    /// - Parameter found: what `terminate` has found.
    func finishOff(_ found: Set<ProcessStat>) {
        signal(SIGKILL)
        // Without its number, which may be another's by now.
        let processes = processes(of: nil)
        StartedProcesses.threads.submit { processes.end(found) }
    }

    /// What it has started; nil if it does not run.
    fileprivate var started: StartedProcesses? { running(nil).map { processes(of: $0) } }

    private func processes(of first: pid_t?) -> StartedProcesses {
        StartedProcesses(first: first, mark: "\(Self.marker)=\(id)", since: since)
    }

    private func running(_ reason: String?) -> pid_t? {
        state.withLock { state in
            guard let process = state.process else { return nil }
            if let reason { state.failure = reason }
            return process.pid
        }
    }
}

/// The commands of this execd. Beyond a limit the oldest finished ones are dropped.
final class CommandRegistry: Sendable {
    static let maxFinished = 1024

    private struct State {
        var records: [String: CommandRecord] = [:]
        var order: [String] = []
        var started = 0
    }
    private let state = Mutex(State())

    func add(_ record: CommandRecord) {
        state.withLock { state in
            state.records[record.id] = record
            state.order.append(record.id)
            state.started += 1
            guard state.order.count > Self.maxFinished else { return }
            if let oldest = state.order.firstIndex(where: { state.records[$0]?.current.finishedAt != nil }) {
                state.records[state.order.remove(at: oldest)] = nil
            }
        }
    }

    /// Drops a command that has ended.
    func forget(_ record: CommandRecord) {
        state.withLock { state in
            state.records[record.id] = nil
            state.order.removeAll { $0 == record.id }
        }
    }

    subscript(id: String) -> CommandRecord? { state.withLock { $0.records[id] } }

    /// All, the oldest first.
    var inOrder: [CommandRecord] { state.withLock { state in state.order.compactMap { state.records[$0] } } }

    private var all: [CommandRecord] { state.withLock { Array($0.records.values) } }

    var counts: CommandCounts {
        let records = all
        return CommandCounts(
            running: records.count { $0.current.finishedAt == nil }, started: state.withLock { $0.started })
    }

    var hasRunning: Bool { all.contains { $0.current.finishedAt == nil } }

    var runningCount: Int { all.count { $0.current.finishedAt == nil } }

    /// Ends every command that runs with all that it has started, whatever groups and sessions those have made: TERM, and KILL to what
    /// is left after a time.
    func endAll(because reason: String, within patience: Duration) async {
        let running = all.compactMap(\.started)
        guard !running.isEmpty else { return }
        let groups = Set(running.compactMap(\.first))
        let end = ContinuousClock.now + patience
        // However long it takes to look for the others.
        let killing = Task {
            try await Task.sleep(until: end, clock: .continuous)
            for record in all { record.signal(SIGKILL, because: reason) }
        }
        // Before they end: what they have started is another's child then.
        let found = await CommandRecord.lookers.run { StartedProcesses.findByDescent(of: running) }
        for record in all { record.signal(SIGTERM, because: reason) }
        for process in found where !groups.contains(process.group) { kill(process.pid, SIGTERM) }
        while ContinuousClock.now < end, hasRunning || found.contains(where: \.isAlive) {
            try? await Task.sleep(for: .milliseconds(20))
        }
        if !hasRunning { killing.cancel() }
        _ = await killing.result
        // Without the groups' numbers, which may be others' by now. A process that waits for memory lets nobody look into it: not for ever.
        let left = running.map { StartedProcesses(first: nil, mark: $0.mark, since: $0.since) }
        let isOver = Mutex(false), waiters = Waiters()
        StartedProcesses.threads.submit {
            StartedProcesses.end(left, found)
            isOver.withLock { $0 = true }
            waiters.wake()
        }
        _ = await waiters.wait(atMost: patience) { isOver.withLock { $0 } }
    }

    /// The command whose process leads a process group.
    func running(asGroup group: Int32) -> CommandRecord? { all.first { $0.current.process?.pid == group } }
}
