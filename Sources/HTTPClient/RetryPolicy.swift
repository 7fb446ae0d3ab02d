import System

/// Whether a post is worth another try, and when.
package struct RetryPolicy: Hashable, Sendable {
    private var backOff: BackOff
    private let attempts: Int

    package init(_ backOff: BackOff, attempts: Int) {
        self.backOff = backOff
        self.attempts = attempts
    }

    /// What to do about a reply, or about none.
    package enum Step: Hashable, Sendable {
        case done
        /// It will not be better another time.
        case giveUp
        case retry(afterMilliseconds: UInt64)
    }

    /// Answers of the server's own trouble, and 429, are worth another try; others are final.
    package mutating func step(_ reply: ResponseHead?) -> Step {
        if let status = reply?.status {
            if (200..<300).contains(status) { return .done }
            if status < 500 && status != 429 { return .giveUp }
        }
        let pause = backOff.next()
        guard backOff.failures < attempts else { return .giveUp }
        // Whatever number the server says.
        let asked = UInt64(min(max(reply?.retryAfter ?? 0, 0), Int(Int32.max))) * 1000
        return .retry(afterMilliseconds: min(backOff.longest, max(pause, asked)))
    }
}
