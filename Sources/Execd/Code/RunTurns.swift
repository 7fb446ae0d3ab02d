/// The runs of a context or a session, one at a time: `RunQueue`, and how those that wait hear of their turn.
struct RunTurns: Sendable {
    /// A run's place in the queue.
    struct Turn: Sendable {
        let number: Int
        fileprivate let gate: AsyncStream<Bool>

        /// Waits for its turn.
        /// - Returns: whether it comes; else what it was for is gone, or nobody waits for the run.
        var comes: Bool {
            get async {
                for await begins in gate { return begins }
                return false
            }
        }
    }

    private var queue: RunQueue
    private var gates: [Int: AsyncStream<Bool>.Continuation] = [:]

    init(at now: Int64) { queue = RunQueue(at: now) }

    /// The run whose turn it is.
    var running: Int? { queue.running }
    /// nil while it is in use.
    var idleSince: Int64? { queue.idleSince }

    mutating func enter() throws(RunQueue.Refusal) -> Turn {
        let (gate, continuation) = AsyncStream<Bool>.makeStream(bufferingPolicy: .bufferingOldest(1))
        switch queue.enter() {
        case .refused(let refusal): throw refusal
        case .begins(let number):
            continuation.yield(true)
            return Turn(number: number, gate: gate)
        case .waits(let number):
            gates[number] = continuation
            return Turn(number: number, gate: gate)
        }
    }

    /// A run is through, or no longer wanted while it waits.
    mutating func leave(_ turn: Turn, at now: Int64) {
        gates.removeValue(forKey: turn.number)?.yield(false)
        guard let next = queue.leave(turn.number, at: now) else { return }
        gates.removeValue(forKey: next)?.yield(true)
    }

    /// Interrupts the run that has its turn.
    /// - Returns: whether who runs it is to be told now, since it has begun.
    mutating func interrupt() -> Bool { queue.interrupt() }

    /// A run has begun.
    /// - Returns: whether it is to be interrupted at once.
    mutating func began(_ turn: Turn) -> Bool { queue.began(turn.number) }

    /// None of those that wait will begin.
    mutating func close() {
        for run in queue.close() { gates.removeValue(forKey: run)?.yield(false) }
    }
}
