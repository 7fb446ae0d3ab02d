/// A policy's rules in order, each with a number that does not change when rules before it are added or removed.
struct RuleList: Sendable {
    struct Numbered: Ordered, Sendable {
        /// Of two rules, the one with the smaller number comes first.
        let place: Int
        let rule: Rule
    }

    private var list = ChunkedSortedArray<Numbered>()

    init(_ rules: some Sequence<Rule> = []) {
        list = ChunkedSortedArray(rules.enumerated().map { Numbered(place: $0.offset, rule: $0.element) })
    }

    var count: Int { list.count }
    var numbered: some Sequence<Numbered> { list }
    var rules: [Rule] { list.map(\.rule) }

    /// - Precondition: there is such a rule.
    subscript(number: Int) -> Rule { list.last(at: number)!.rule }

    /// The rule's place in the policy, from 0.
    func position(of number: Int) -> Int { list.rank(of: number) }

    /// Puts rules in front of all others.
    /// - Returns: their numbers.
    @discardableResult
    mutating func prepend(_ rules: [Rule]) -> Range<Int> {
        let first = list.first?.place ?? 0
        let numbers = first - rules.count..<first
        guard !rules.isEmpty else { return numbers }
        list.replace(
            numbers.lowerBound...first - 1, with: zip(numbers, rules).map { Numbered(place: $0, rule: $1) })
        return numbers
    }

    mutating func remove(_ number: Int) { list.replace(number...number, with: []) }
}

extension RuleList: Hashable {
    /// Whether both have equal rules in the same order. Chunks that both share are not compared.
    static func == (left: Self, right: Self) -> Bool {
        guard left.count == right.count else { return false }
        if left.list.pieces.map(\.count) == right.list.pieces.map(\.count) {
            return zip(left.list.pieces, right.list.pieces).allSatisfy { left, right in
                let isShared = left.withUnsafeBufferPointer { left in
                    right.withUnsafeBufferPointer { $0.baseAddress == left.baseAddress }
                }
                return isShared || left.elementsEqual(right) { $0.rule == $1.rule }
            }
        }
        return left.list.elementsEqual(right.list) { $0.rule == $1.rule }
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(count)
        for item in list.prefix(8) { hasher.combine(item.rule) }
    }
}
