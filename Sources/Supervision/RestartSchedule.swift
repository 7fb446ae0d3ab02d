/// When a process that has ended is started again: at once where it ran for a while, later and later where it keeps ending.
package struct RestartSchedule: Hashable, Sendable {
    /// One that ran for so long has begun well: what ended it is not what ended it before.
    static let steady = Duration.seconds(10)
    static let firstPause = Duration.milliseconds(100)
    static let maxPause = Duration.seconds(5)

    private var endings = 0

    package init() {}

    /// It has ended.
    /// - Parameter lifetime: how long it ran.
    /// - Returns: how long to wait.
    package mutating func pause(after lifetime: Duration) -> Duration {
        if lifetime >= Self.steady { endings = 0 }
        endings += 1
        guard endings > 1 else { return .zero }
        return min(Self.maxPause, Self.firstPause * (1 << min(endings - 2, 16)))
    }
}
