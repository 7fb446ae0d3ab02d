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
    /// Milliseconds of a monotonic clock; nil while it is in use.
    private(set) var idleSince: Int64?

    init(at now: Int64) { idleSince = now }

    mutating func enter() -> Admission {
        guard !isClosed else { return .refused(.closed) }
        guard waiting.count < Self.maxWaiting else { return .refused(.full) }
        last += 1
        idleSince = nil
        guard running != nil else {
            running = last
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
        running = waiting.isEmpty ? nil : waiting.removeFirst()
        if running == nil { idleSince = now }
        return running
    }

    /// - Returns: the runs that will not begin.
    mutating func close() -> [Int] {
        isClosed = true
        defer { waiting = [] }
        return waiting
    }
}
