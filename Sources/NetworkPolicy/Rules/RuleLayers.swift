/// The rules that an evaluator knows: the operator's, and behind them the client's.
///
/// The operator's have numbers that no rule of a client comes near, so a client's rule that is put in front of all others is still
/// behind them, and a change of the client's costs as much as it names, with an operator's rules as without.
struct RuleLayers: Sendable {
    let operators: [Rule]
    let client: RuleList

    /// The number of the operator's first rule.
    private static let first = Int.min

    init(operators: [Rule], client: RuleList) {
        self.operators = operators
        self.client = client
    }

    func isOperators(_ number: Int) -> Bool { number < Self.first + operators.count }

    /// - Precondition: there is such a rule.
    subscript(number: Int) -> Rule { isOperators(number) ? operators[number - Self.first] : client[number] }

    /// The operator's rules in order. Those of the client follow them.
    var numberedOperators: [RuleList.Numbered] {
        operators.enumerated().map { RuleList.Numbered(place: Self.first + $0.offset, rule: $0.element) }
    }
}
