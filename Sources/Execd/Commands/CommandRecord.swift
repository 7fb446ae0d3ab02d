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
        var log: [UInt8] = []
        /// Bytes of output not read by the client yet.
        var waiting = 0
        /// Bytes dropped from the front of the log.
        var dropped = 0
    }

    /// How many bytes of a background command's output are kept.
    static let maxLog = 8 << 20

    /// How many bytes of a foreground command's output may wait for its client.
    static let maxWaiting = 1 << 20

    let id: String
    let content: String
    let startedAt: Int64
    private let memory: MemoryGroup
    private let earlierKills: UInt64?
    private let state = Mutex(State())

    init(id: String, content: String, startedAt: Int64, memory: MemoryGroup = MemoryGroup()) {
        self.id = id
        self.content = content
        self.startedAt = startedAt
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
            if state.waiting > Self.maxWaiting { state.process?.pauseOutput() }
        }
    }

    func consumed(_ bytes: Int) {
        state.withLock { state in
            let wasFull = state.waiting > Self.maxWaiting
            state.waiting -= bytes
            if wasFull, state.waiting <= Self.maxWaiting { state.process?.resumeOutput() }
        }
    }

    /// Notes the end. From here on no signal goes out: the pid may be another's.
    ///
    /// A command whose first process the kernel has killed for memory ends as a whole. What it left would go on holding
    /// the memory, and a storm would go on starting processes with nobody to stop it.
    func ended(_ exit: ProcessExit?, failure: String?, at now: Int64) {
        let explanation = exit?.code == 0 ? nil : memory.reason(since: earlierKills)
        state.withLock { state in
            // The number is not another's yet: the kernel gives none out that a group still has, and an empty group's
            // has been free for microseconds.
            if exit == .signalled(SIGKILL), explanation != nil { state.process?.signalGroup(SIGKILL) }
            state.process = nil
            state.exit = exit
            state.explanation = explanation.map { state.wasStorm ? $0 + Self.stormEnd : $0 }
            state.failure = state.failure ?? failure
            state.finishedAt = now
        }
    }

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

    func append(_ bytes: [UInt8]) {
        state.withLock { state in
            state.log += bytes
            guard state.log.count > Self.maxLog else { return }
            let excess = state.log.count - Self.maxLog
            state.log.removeFirst(excess)
            state.dropped += excess
        }
    }

    /// The log from a byte offset on, and the offset of its end.
    func log(from cursor: Int) -> (bytes: [UInt8], end: Int) {
        state.withLock { state in
            let start = min(max(cursor - state.dropped, 0), state.log.count)
            return (Array(state.log[start...]), state.dropped + state.log.count)
        }
    }
}

/// The commands of this execd. Beyond a limit the oldest finished ones are dropped.
final class CommandRegistry: Sendable {
    static let maxFinished = 1024

    private struct State {
        var records: [String: CommandRecord] = [:]
        var order: [String] = []
    }
    private let state = Mutex(State())

    func add(_ record: CommandRecord) {
        state.withLock { state in
            state.records[record.id] = record
            state.order.append(record.id)
            guard state.order.count > Self.maxFinished else { return }
            if let oldest = state.order.firstIndex(where: { state.records[$0]?.current.finishedAt != nil }) {
                state.records[state.order.remove(at: oldest)] = nil
            }
        }
    }

    subscript(id: String) -> CommandRecord? { state.withLock { $0.records[id] } }

    private var all: [CommandRecord] { state.withLock { Array($0.records.values) } }

    var hasRunning: Bool { all.contains { $0.current.finishedAt == nil } }

    var runningCount: Int { all.count { $0.current.finishedAt == nil } }

    /// Signals every command that runs.
    func signalAll(_ number: Int32, because reason: String) {
        for record in all { record.signal(number, because: reason) }
    }

    /// The command whose process leads a process group.
    func running(asGroup group: Int32) -> CommandRecord? { all.first { $0.current.process?.pid == group } }
}
