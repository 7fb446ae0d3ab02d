/// When to try again: each wait twice the one before, up to a longest one, and only so often.
public struct Backoff: Hashable, Sendable {
    /// Milliseconds.
    public var first: UInt64
    public var longest: UInt64
    public var attempts: Int
    private var failures = 0

    public init(first: UInt64, longest: UInt64, attempts: Int) {
        self.first = first
        self.longest = longest
        self.attempts = attempts
    }

    /// What to do about a reply, or about none.
    public enum Step: Hashable, Sendable {
        case done
        /// It will not be better another time.
        case giveUp
        case retry(afterMilliseconds: UInt64)
    }

    /// Answers of the server's own trouble, and 429, are worth another try; others are final.
    public mutating func step(_ reply: HTTPReply?) -> Step {
        if let status = reply?.status {
            if (200..<300).contains(status) { return .done }
            if status < 500 && status != 429 { return .giveUp }
        }
        failures += 1
        guard failures < attempts else { return .giveUp }
        let doubled = first << UInt64(min(failures - 1, 20))
        // Whatever number the server says.
        let asked = UInt64(min(max(reply?.retryAfter ?? 0, 0), Int(Int32.max))) * 1000
        return .retry(afterMilliseconds: min(longest, max(doubled, asked)))
    }
}
