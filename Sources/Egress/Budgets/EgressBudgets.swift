import System

/// The budgets of a sandbox (docs/egress.md#budgets). 0 is no limit.
package struct EgressBudgets: Hashable, Sendable {
    /// Queries answered per second, whatever the answer; a burst may be twice as many.
    package var queriesPerSecond = 0
    /// Distinct names allowed per hour.
    package var distinctNamesPerHour = 0
    /// Bytes of information per minute that may leave in names under one allowed wildcard (`WildcardBudget`).
    package var wildcardBytesPerMinute = 512
    /// The burst of the same.
    package var wildcardBurst = 2048
    /// New connections per second; a burst may be twice as many.
    package var connectionsPerSecond = 0
    /// Connections open at the same time.
    package var connections = 0
    /// Bytes, headers of IP and above included, that a sandbox sends in its life.
    package var bytesOut = 0

    /// The highest value that a budget may be set to.
    package static let most = 1_000_000_000_000

    package init() {}

    package static let none: EgressBudgets = {
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

/// The default limit of open connections of one sandbox. Each connection that leaves the machine takes an entry of the
/// conntrack table, which all sandboxes share, so no sandbox may use it up alone.
package enum ConnectionShare {
    /// One sandbox gets one part in so many of the table.
    private static let part = 16
    /// A lower limit would hinder normal use, and hardly anybody needs more. The kernel walks over all counted
    /// connections, so many are expensive.
    private static let bounds = 256...8192
    private static let path = "/proc/sys/net/netfilter/nf_conntrack_max"
    /// The assumed table size if the kernel does not tell.
    private static let usual = 65_536

    /// - Parameter table: the size of the table.
    package static func connections(ofTable table: Int) -> Int {
        min(max(table / part, bounds.lowerBound), bounds.upperBound)
    }

    /// The limit for this machine.
    package static var standard: Int {
        let text = File.text(path) ?? ""
        return connections(ofTable: Int(text.filter { !$0.isWhitespace }) ?? usual)
    }
}
