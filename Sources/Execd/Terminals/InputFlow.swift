/// How much of what a client types has not been read yet, and when the client has to wait with more.
///
/// A client that sends much waits, so that nothing is lost. But one whose shell reads nothing does not, as long as there is
/// room: its signals come by the same connection, behind what it has sent.
struct InputFlow {
    typealias Waiter = CheckedContinuation<Void, Never>

    /// Bytes that wait to be read at the most.
    static let maxWaiting = 1 << 20
    /// From here on the client waits.
    static let muchWaiting = 128 << 10
    /// How long it waits for a shell that reads nothing. Long enough that a shell on a busy machine is not taken for one.
    static let patience = Duration.seconds(1)

    private(set) var waiting = 0
    private(set) var taken = 0
    private var isStalled = false
    private var waiters: [Waiter] = []

    /// - Returns: whether there is room for more bytes, which are counted then.
    mutating func add(_ bytes: Int) -> Bool {
        // A message is taken whole where any of it has room.
        guard waiting < Self.maxWaiting else { return false }
        waiting += bytes
        return true
    }

    var hasToWait: Bool { waiting > Self.muchWaiting && !isStalled }

    mutating func wait(_ waiter: Waiter) { waiters.append(waiter) }

    /// - Returns: those who need not wait any longer, here and below.
    mutating func took(_ bytes: Int) -> [Waiter] {
        waiting = max(0, waiting - bytes)
        taken += bytes
        isStalled = false
        return hasToWait ? [] : release()
    }

    /// - Parameter earlier: what had been taken when the wait began.
    mutating func patienceEnds(since earlier: Int) -> [Waiter] {
        if taken == earlier { isStalled = true }
        return release()
    }

    /// The shell has ended.
    mutating func end() -> [Waiter] {
        (waiting, isStalled) = (0, false)
        return release()
    }

    private mutating func release() -> [Waiter] {
        defer { waiters = [] }
        return waiters
    }
}
