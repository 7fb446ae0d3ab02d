/// Counters of one sandbox since its guard started.
public struct SandboxCounts: Hashable, Sendable {
    public var id: String
    public var namesDenied: UInt64
    public var budgetRefusals: UInt64
    public var rules: Int
}
