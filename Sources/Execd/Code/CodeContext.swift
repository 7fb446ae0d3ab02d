import Synchronization
import System

/// A language's state between runs: an id for clients, and a kernel.
final class CodeContext: Sendable {
    typealias Turn = RunTurns.Turn

    let id: String
    let language: KernelLanguage
    /// As the client wrote it: clients compare.
    let languageName: String
    let folder: String?
    let kernel: any CodeKernel
    private let now: @Sendable () -> Int64
    private let turns: Mutex<RunTurns>

    /// Milliseconds of a clock that is never set.
    static let clock: @Sendable () -> Int64 = { Int64(SystemClock.monotonicMilliseconds()) }

    init(
        id: String, language: KernelLanguage, languageName: String, folder: String?, kernel: any CodeKernel,
        now: @escaping @Sendable () -> Int64 = CodeContext.clock
    ) {
        self.id = id
        self.language = language
        self.languageName = languageName
        self.folder = folder
        self.kernel = kernel
        self.now = now
        turns = Mutex(RunTurns(at: now()))
    }

    /// How long it has not been used, in milliseconds; nil while it is.
    var idleTime: Int64? { turns.withLock { $0.idleSince.map { now() - $0 } } }

    /// Takes no more runs, if it has not been used for so many milliseconds. `close` has to follow.
    /// - Parameter start: what was before does not count.
    /// - Returns: whether it was not.
    func retire(after longest: Int64, from start: Int64 = 0) -> Bool {
        turns.withLock { turns in
            guard let since = turns.idleSince, now() - max(since, start) >= longest else { return false }
            turns.close()
            return true
        }
    }

    /// Takes a place in the queue; `leave` gives it up.
    func enter() throws(RunQueue.Refusal) -> Turn {
        try turns.withLock { (turns) throws(RunQueue.Refusal) in try turns.enter() }
    }

    /// Runs code whose turn has come.
    func execute(_ code: String, _ turn: Turn) async -> KernelRun {
        let run = await kernel.execute(code)
        turns.withLock { if $0.began(turn) { kernel.interrupt() } }
        return run
    }

    /// The kernel is free of the run.
    func leave(_ turn: Turn) { turns.withLock { $0.leave(turn, at: now()) } }

    /// Nobody waits for the run any more: it does not begin, or is interrupted.
    func abandon(_ turn: Turn) {
        turns.withLock { turns in
            // Under the lock, so that it is not the next run that is interrupted.
            guard turns.running != turn.number else { return interrupt(&turns) }
            turns.leave(turn, at: now())
        }
    }

    /// Interrupts the present run; those that wait go on waiting.
    func interrupt() { turns.withLock { interrupt(&$0) } }

    private func interrupt(_ turns: inout RunTurns) { if turns.interrupt() { kernel.interrupt() } }

    /// Ends the kernel, and all runs with it.
    func close() async {
        turns.withLock { $0.close() }
        await kernel.close()
    }
}
