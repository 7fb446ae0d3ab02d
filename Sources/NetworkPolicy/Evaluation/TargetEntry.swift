/// The rules of one target.
enum TargetEntry: Sendable {
    /// One rule that states neither protocol nor ports: nearly every rule, so it takes no memory of its own.
    case plain(Int, Action)
    indirect case scoped(numbers: [Int], rules: TrafficMap<Int>)

    /// - Precondition: the rules have one target, and are in order; there is at least one.
    init(_ rules: [RuleList.Numbered]) {
        if rules.count == 1, rules[0].rule.scope.isUnstated {
            self = .plain(rules[0].place, rules[0].rule.action)
        } else {
            let maps = rules.map { $0.rule.coverage($0.place) }
            self = .scoped(numbers: rules.map(\.place), rules: TrafficMap.first(of: maps[...]))
        }
    }

    /// The numbers of all rules of the target, those that never decide included.
    var numbers: [Int] {
        switch self {
        case .plain(let number, _): [number]
        case .scoped(let numbers, _): numbers
        }
    }

    /// For each kind of traffic, the first of the rules.
    func map(_ list: RuleList) -> TrafficMap<Int> {
        switch self {
        case .plain(let number, _): list[number].coverage(number)
        case .scoped(_, let rules): rules
        }
    }
}
