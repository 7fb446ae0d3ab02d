/// Bounds what one sandbox can make the DNS thread do by addresses that many names share: with each name that is learned for
/// one, all of its names are judged anew. A zone's owner chooses how many names have how many addresses, and every other
/// sandbox waits meanwhile.
struct JudgementAllowance: Sendable {
    /// Names of an address that count for nothing: all that most ever have.
    static let free = 16
    /// Names beyond these that may be judged in a second: some 20 ms of a thread.
    static let perSecond = 4096

    private var second: UInt64 = 0
    private var used = 0

    /// Whether an address of so many names may be judged now; if so it is counted.
    /// - Parameter now: seconds.
    mutating func take(names: Int, now: UInt64) -> Bool {
        guard names > Self.free else { return true }
        if now != second { (second, used) = (now, 0) }
        guard used < Self.perSecond else { return false }
        used += names - Self.free
        return true
    }
}
