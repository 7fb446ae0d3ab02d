import System

/// Bounds what one sandbox can make the DNS thread do by addresses that many names share: with each name that is learned for
/// one, all of its names are judged anew. A zone's owner chooses how many names have how many addresses, and every other
/// sandbox waits meanwhile.
struct JudgementAllowance: Sendable {
    /// Names of an address that are free; most addresses never have more.
    static let free = 16
    /// Further names that may be judged per second: about 20 ms of a thread.
    static let perSecond = 4096

    private var limiter = RateLimiter(Rate(burst: UInt64(perSecond), refill: UInt64(perSecond), period: 1), now: 0)

    /// Whether an address with so many names may be judged now; if so, it is counted.
    /// - Parameter now: seconds.
    mutating func take(names: Int, now: UInt64) -> Bool {
        guard names > Self.free else { return true }
        // One address that has more names than that is judged, too, now and then.
        return limiter.take(UInt64(min(names - Self.free, Self.perSecond)), now: now)
    }
}
