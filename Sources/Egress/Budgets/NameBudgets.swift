import NetworkPolicy
import System

/// The state of one sandbox's budgets for names. Times are milliseconds of a monotonic clock.
struct NameBudgets: Sendable {
    /// The exceeded budget, and a text for the client.
    struct Refusal: Hashable, Sendable {
        var budget: Budget
        var text: String
    }

    private var queries: RateLimiter?
    private var distinct: DistinctNames?
    private var wildcard: WildcardBudget?

    init(_ budgets: EgressBudgets, now: UInt64) {
        func amount(_ number: Int) -> UInt64? { number > 0 ? UInt64(number) : nil }
        queries = amount(budgets.queriesPerSecond).map {
            RateLimiter(Rate(burst: 2 * $0, refill: $0, period: 1000), now: now)
        }
        distinct = amount(budgets.distinctNamesPerHour).map { DistinctNames(limit: Int($0), window: 3_600_000) }
        wildcard = amount(budgets.wildcardBytesPerMinute).map {
            WildcardBudget(bytesPerMinute: $0, burst: max($0, amount(budgets.wildcardBurst) ?? 0))
        }
    }

    /// Called for every well-formed query.
    mutating func admitQuery(now: UInt64) -> Refusal? {
        guard queries?.take(1, now: now) == false else { return nil }
        return Refusal(.queries, "\(queries!.rate.refill) queries a second")
    }

    /// Called for queries that the policy allows.
    mutating func admit(_ name: DomainName, now: UInt64) -> Refusal? {
        guard distinct?.admit(name, now: now) == false else { return nil }
        return Refusal(.names, "\(distinct!.limit) different names an hour")
    }

    /// Called for queries that a wildcard allows and the cache cannot answer.
    mutating func admit(_ name: DomainName, type: UInt16, below zone: DomainName, now: UInt64) -> Refusal? {
        guard wildcard?.admit(name, type: type, below: zone, now: now) == false else { return nil }
        return Refusal(.wildcard, "\(wildcard!.bytesPerMinute) bytes a minute in new names below \(zone)")
    }
}

extension NameBudgets.Refusal {
    fileprivate init(_ budget: Budget, _ limit: String) {
        self.init(budget: budget, text: "the budget \(budget.rawValue) is used up: \(limit)")
    }
}
