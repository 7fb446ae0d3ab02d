import System

/// When a process that has ended is started again: at once where it ran for a while, later and later where it keeps ending.
package struct RestartSchedule: Hashable, Sendable {
    /// One that ran for so long has begun well: what ended it is not what ended it before.
    static let steady = Duration.seconds(10)

    /// Milliseconds.
    private var backOff = BackOff(first: 100, longest: 5000)
    private var hasEnded = false

    package init() {}

    /// It has ended.
    /// - Parameter lifetime: how long it ran.
    /// - Returns: how long to wait.
    package mutating func pause(after lifetime: Duration) -> Duration {
        if lifetime >= Self.steady {
            backOff.reset()
            hasEnded = false
        }
        defer { hasEnded = true }
        return hasEnded ? .milliseconds(backOff.next()) : .zero
    }
}
