/// Limits the work that one sandbox can cause on the DNS thread with addresses that many names share: each further name
/// of an address makes all its names be judged again. The owner of a zone chooses how many names share how many
/// addresses, and all other sandboxes would wait.
struct JudgementAllowance: Sendable {
    /// Names of an address that are free; most addresses never have more.
    static let free = 16
    /// Further names that may be judged per second: about 20 ms of a thread.
    static let perSecond = 4096

    private var second: UInt64 = 0
    private var used = 0

    /// Whether an address with so many names may be judged now; if so, it is counted.
    /// - Parameter now: seconds.
    mutating func take(names: Int, now: UInt64) -> Bool {
        guard names > Self.free else { return true }
        if now != second { (second, used) = (now, 0) }
        guard used < Self.perSecond else { return false }
        used += names - Self.free
        return true
    }
}
