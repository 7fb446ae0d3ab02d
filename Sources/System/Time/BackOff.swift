/// When to try again what has failed: each pause is twice the one before, up to a longest, so that what cannot succeed
/// costs nothing and what needs only a moment gets it soon. Milliseconds.
package struct BackOff: Hashable, Sendable {
    package let first: UInt64
    package let longest: UInt64
    /// Failures in a row.
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

    /// The same, shortened by up to a half, so that many who lost something at one moment do not all come back at one.
    /// - Parameter random: 0 to 1.
    package mutating func spread(random: Double = .random(in: 0...1)) -> Duration {
        .milliseconds(Double(next()) * (0.5 + 0.5 * random))
    }

    /// It went well.
    package mutating func reset() { failures = 0 }
}
