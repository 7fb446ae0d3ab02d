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
    private let turns: Mutex<RunTurns>

    init(id: String, language: KernelLanguage, languageName: String, folder: String?, kernel: any CodeKernel) {
        self.id = id
        self.language = language
        self.languageName = languageName
        self.folder = folder
        self.kernel = kernel
        turns = Mutex(RunTurns(at: Self.now))
    }

    private static var now: Int64 { Int64(SystemClock.monotonicMilliseconds()) }

    /// How long it has not been used, in milliseconds; nil while it is.
    var idleTime: Int64? { turns.withLock { $0.idleSince.map { Self.now - $0 } } }

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
    func leave(_ turn: Turn) { turns.withLock { $0.leave(turn, at: Self.now) } }

    /// Nobody waits for the run any more: it does not begin, or is interrupted.
    func abandon(_ turn: Turn) {
        turns.withLock { turns in
            // Under the lock, so that it is not the next run that is interrupted.
            guard turns.running != turn.number else { return interrupt(&turns) }
            turns.leave(turn, at: Self.now)
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
