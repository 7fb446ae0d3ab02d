/// Pauses between retries, in milliseconds: each is twice the previous one, up to a limit, so that a hopeless retry
/// costs little and a temporary failure is retried soon.
package struct BackOff: Hashable, Sendable {
    package let first: UInt64
    package let longest: UInt64
    /// Consecutive failures.
    package private(set) var failures = 0

    package init(first: UInt64, longest: UInt64) {
        self.first = first
        self.longest = longest
    }

    /// Counts a failure.
    /// - Returns: milliseconds until the next attempt.
    package mutating func next() -> UInt64 {
        let (pause, overflows) = first.multipliedReportingOverflow(by: 1 << UInt64(min(failures, 62)))
        failures = min(failures, .max - 1) + 1
        return overflows ? longest : min(pause, longest)
    }

    /// The same, shortened randomly by up to a half, so that clients that failed together do not retry together.
    /// - Parameter random: 0 to 1.
    package mutating func spread(random: Double = .random(in: 0...1)) -> Duration {
        .milliseconds(Double(next()) * (0.5 + 0.5 * random))
    }

    /// Call after a success.
    package mutating func reset() { failures = 0 }
}
