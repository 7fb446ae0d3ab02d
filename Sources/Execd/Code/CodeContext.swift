import Synchronization
import System

/// A language's state between runs: an id for clients, and a kernel.
final class CodeContext: Sendable {
    /// A run's place in the queue.
    struct Turn: Sendable {
        fileprivate let number: Int
        fileprivate let gate: AsyncStream<Bool>

        /// Waits for its turn.
        /// - Returns: whether it comes; else the context was deleted, or nobody waits for the run.
        var comes: Bool {
            get async {
                for await begins in gate { return begins }
                return false
            }
        }
    }

    private struct State {
        var queue: RunQueue
        var gates: [Int: AsyncStream<Bool>.Continuation] = [:]
    }

    let id: String
    let language: KernelLanguage
    /// As the client wrote it: clients compare.
    let languageName: String
    let folder: String?
    let kernel: any CodeKernel
    private let state: Mutex<State>

    init(id: String, language: KernelLanguage, languageName: String, folder: String?, kernel: any CodeKernel) {
        self.id = id
        self.language = language
        self.languageName = languageName
        self.folder = folder
        self.kernel = kernel
        state = Mutex(State(queue: RunQueue(at: Self.now)))
    }

    private static var now: Int64 { Int64(SystemClock.monotonicMilliseconds()) }

    /// How long it has not been used, in milliseconds; nil while it is.
    var idleTime: Int64? { state.withLock { $0.queue.idleSince.map { Self.now - $0 } } }

    /// Takes a place in the queue; `leave` gives it up.
    func enter() throws(RunQueue.Refusal) -> Turn {
        try state.withLock { (state) throws(RunQueue.Refusal) in
            let (gate, continuation) = AsyncStream<Bool>.makeStream(bufferingPolicy: .bufferingOldest(1))
            switch state.queue.enter() {
            case .refused(let refusal): throw refusal
            case .begins(let number):
                continuation.yield(true)
                return Turn(number: number, gate: gate)
            case .waits(let number):
                state.gates[number] = continuation
                return Turn(number: number, gate: gate)
            }
        }
    }

    /// Runs code whose turn has come.
    func execute(_ code: String, _ turn: Turn) async -> KernelRun {
        let run = await kernel.execute(code)
        state.withLock { if $0.queue.began(turn.number) { kernel.interrupt() } }
        return run
    }

    /// The kernel is free of the run.
    func leave(_ turn: Turn) {
        state.withLock { state in
            state.gates.removeValue(forKey: turn.number)?.yield(false)
            guard let next = state.queue.leave(turn.number, at: Self.now) else { return }
            state.gates.removeValue(forKey: next)?.yield(true)
        }
    }

    /// Nobody waits for the run any more: it does not begin, or is interrupted.
    func abandon(_ turn: Turn) {
        state.withLock { state in
            // Under the lock, so that it is not the next run that is interrupted.
            guard state.queue.running != turn.number else { return interrupt(&state) }
            _ = state.queue.leave(turn.number, at: Self.now)
            state.gates.removeValue(forKey: turn.number)?.yield(false)
        }
    }

    /// Interrupts the present run; those that wait go on waiting.
    func interrupt() { state.withLock { interrupt(&$0) } }

    private func interrupt(_ state: inout State) { if state.queue.interrupt() { kernel.interrupt() } }

    /// Ends the kernel, and all runs with it.
    func close() async {
        state.withLock { state in
            for run in state.queue.close() { state.gates.removeValue(forKey: run)?.yield(false) }
        }
        await kernel.close()
    }
}
