/// How long to wait before something that failed is tried again: longer each time, so that what cannot succeed costs
/// nothing, and what only needs a moment gets it soon.
public struct RetryPauses: Hashable, Sendable {
    public static let longest = 300

    /// Failures so far.
    public private(set) var failures = 0

    public init() {}

    /// Counts a failure.
    /// - Returns: seconds until the next attempt: 1, 2, 4 and so on, and at most `longest`.
    public mutating func next() -> Int {
        failures += 1
        return failures > 8 ? Self.longest : 1 << (failures - 1)
    }
}
