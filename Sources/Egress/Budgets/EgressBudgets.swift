/// How much of each thing a sandbox may use. 0 is no limit.
public struct EgressBudgets: Hashable, Sendable {
    /// Queries that are answered in a second, whatever the answer; twice as many at once.
    public var queriesPerSecond = 0
    /// Different names that are allowed in an hour.
    public var distinctNamesPerHour = 0
    /// Bytes of information that leave in a minute in the names under one allowed wildcard (`WildcardBudget`).
    public var wildcardBytesPerMinute = 512
    /// And how many at once.
    public var wildcardBurst = 2048
    /// Connections that begin in a second; twice as many at once.
    public var connectionsPerSecond = 0
    /// Connections that are open at one time.
    public var connections = 0
    /// Bytes, headers of IP and above included, that a sandbox sends in its life.
    public var bytesOut = 0

    /// What a budget may be set to, at most.
    public static let most = 1_000_000_000_000

    public init() {}

    public static let none: EgressBudgets = {
        var budgets = EgressBudgets()
        budgets.wildcardBytesPerMinute = 0
        return budgets
    }()

    /// Whether the kernel is to count anything.
    var limitsTraffic: Bool { connectionsPerSecond > 0 || connections > 0 || bytesOut > 0 }
}

/// One of the budgets, by the name that operators see.
enum Budget: String, CaseIterable, Hashable, Sendable {
    case queries = "queriesPerSecond"
    case names = "distinctNamesPerHour"
    case wildcard = "wildcardBytesPerMinute"
    case connectionRate = "connectionsPerSecond"
    case connections
    case bytesOut
}
