/// How much of what a client types has not been read yet, and when the client has to wait with more.
///
/// A client that sends much waits, so that nothing is lost. But one whose shell reads nothing does not, as long as there is
/// room: its signals come by the same connection, behind what it has sent.
struct InputFlow {
    /// Bytes that wait to be read at the most.
    static let maxWaiting = 1 << 20
    /// From here on the client waits.
    static let muchWaiting = 128 << 10
    /// How long it waits for a shell that reads nothing. Long enough that a shell on a busy machine is not taken for one.
    static let patience = Duration.seconds(1)

    private(set) var waiting = 0
    private(set) var taken = 0
    private var isStalled = false

    /// - Returns: whether there is room for more bytes, which are counted then.
    mutating func add(_ bytes: Int) -> Bool {
        // A message is taken whole where any of it has room.
        guard waiting < Self.maxWaiting else { return false }
        waiting += bytes
        return true
    }

    var hasToWait: Bool { waiting > Self.muchWaiting && !isStalled }

    mutating func took(_ bytes: Int) {
        waiting = max(0, waiting - bytes)
        taken += bytes
        isStalled = false
    }

    /// A client has waited for as long as it may.
    /// - Parameter earlier: what had been taken when the wait began.
    mutating func patienceEnds(since earlier: Int) { if taken == earlier { isStalled = true } }

    /// The shell has ended.
    mutating func end() { (waiting, isStalled) = (0, false) }
}
