/// The rules of one target.
enum TargetEntry: Sendable {
    /// A single rule without protocol and ports. Nearly all are like this, so it needs no allocation.
    case plain(Int, Action)
    indirect case scoped(numbers: [Int], rules: TrafficMap<Int>)

    /// - Precondition: at least one rule, all of one target, in order.
    init(_ rules: [RuleList.Numbered]) {
        if rules.count == 1, rules[0].rule.scope.isUnstated {
            self = .plain(rules[0].place, rules[0].rule.action)
        } else {
            let maps = rules.map { $0.rule.coverage($0.place) }
            self = .scoped(numbers: rules.map(\.place), rules: TrafficMap.first(of: maps[...]))
        }
    }

    /// The numbers of all rules of the target, including those that an earlier one shadows.
    var numbers: [Int] {
        switch self {
        case .plain(let number, _): [number]
        case .scoped(let numbers, _): numbers
        }
    }

    /// The first rule for each kind of traffic.
    func map(_ list: RuleLayers) -> TrafficMap<Int> {
        switch self {
        case .plain(let number, _): list[number].coverage(number)
        case .scoped(_, let rules): rules
        }
    }
}
