import System

/// When a process that has ended is started again: at once if it had run for a while, after growing pauses if it keeps
/// ending.
package struct RestartSchedule: Hashable, Sendable {
    /// After so long the start counts as successful, and the next end as the first one.
    static let steady = Duration.seconds(10)

    /// Milliseconds.
    private var backOff = BackOff(first: 100, longest: 5000)
    private var hasEnded = false

    package init() {}

    /// To be called when the process has ended.
    /// - Parameter lifetime: how long it ran.
    /// - Returns: how long to wait before the next start.
    package mutating func pause(after lifetime: Duration) -> Duration {
        if lifetime >= Self.steady {
            backOff.reset()
            hasEnded = false
        }
        defer { hasEnded = true }
        return hasEnded ? .milliseconds(backOff.next()) : .zero
    }
}
