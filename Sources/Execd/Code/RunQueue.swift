/// Whose turn it is in a context: one run at a time, in the order of their coming, and a bounded number that wait.
struct RunQueue: Hashable, Sendable {
    enum Admission: Hashable, Sendable {
        case begins(Int)
        case waits(Int)
        case refused(Refusal)
    }

    enum Refusal: Error, Hashable, Sendable {
        /// As many wait as may.
        case full
        case closed
    }

    static let maxWaiting = 16

    private(set) var running: Int?
    private var waiting: [Int] = []
    private var last = 0
    private(set) var isClosed = false
    /// Of the run that has its turn: whether its kernel has it, and whether it was interrupted.
    private var hasBegun = false, isInterrupted = false
    /// Milliseconds of a monotonic clock; nil while it is in use.
    private(set) var idleSince: Int64?

    init(at now: Int64) { idleSince = now }

    mutating func enter() -> Admission {
        guard !isClosed else { return .refused(.closed) }
        guard waiting.count < Self.maxWaiting else { return .refused(.full) }
        last += 1
        idleSince = nil
        guard running != nil else {
            start(last)
            return .begins(last)
        }
        waiting.append(last)
        return .waits(last)
    }

    /// A run is through, or no longer wanted while it waits.
    /// - Returns: the run that begins now.
    mutating func leave(_ run: Int, at now: Int64) -> Int? {
        waiting.removeAll { $0 == run }
        guard running == run else { return nil }
        start(waiting.isEmpty ? nil : waiting.removeFirst())
        if running == nil { idleSince = now }
        return running
    }

    private mutating func start(_ run: Int?) { (running, hasBegun, isInterrupted) = (run, false, false) }

    /// Interrupts the run that has its turn.
    /// - Returns: whether the kernel is to be told now. One that does not have the run yet is told when it has (`began`).
    mutating func interrupt() -> Bool {
        guard running != nil else { return false }
        isInterrupted = true
        return hasBegun
    }

    /// The kernel has a run.
    /// - Returns: whether it is to be interrupted at once.
    mutating func began(_ run: Int) -> Bool {
        guard running == run else { return false }
        hasBegun = true
        return isInterrupted
    }

    /// - Returns: the runs that will not begin.
    mutating func close() -> [Int] {
        isClosed = true
        defer { waiting = [] }
        return waiting
    }
}
