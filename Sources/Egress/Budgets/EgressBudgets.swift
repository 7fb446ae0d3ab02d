/// The budgets of a sandbox (docs/egress.md#budgets). 0 is no limit.
public struct EgressBudgets: Hashable, Sendable {
    /// Queries answered per second, whatever the answer; a burst may be twice as many.
    public var queriesPerSecond = 0
    /// Distinct names allowed per hour.
    public var distinctNamesPerHour = 0
    /// Bytes of information per minute that may leave in names under one allowed wildcard (`WildcardBudget`).
    public var wildcardBytesPerMinute = 512
    /// The burst of the same.
    public var wildcardBurst = 2048
    /// New connections per second; a burst may be twice as many.
    public var connectionsPerSecond = 0
    /// Connections open at the same time.
    public var connections = 0
    /// Bytes, headers of IP and above included, that a sandbox sends in its life.
    public var bytesOut = 0

    /// The highest value that a budget may be set to.
    public static let most = 1_000_000_000_000

    public init() {}

    public static let none: EgressBudgets = {
        var budgets = EgressBudgets()
        budgets.wildcardBytesPerMinute = 0
        return budgets
    }()

    /// Whether any budget is enforced in the kernel.
    var limitsTraffic: Bool { connectionsPerSecond > 0 || connections > 0 || bytesOut > 0 }
}

/// A budget, by the name that operators see.
enum Budget: String, CaseIterable, Hashable, Sendable {
    case queries = "queriesPerSecond"
    case names = "distinctNamesPerHour"
    case wildcard = "wildcardBytesPerMinute"
    case connectionRate = "connectionsPerSecond"
    case connections
    case bytesOut
}
