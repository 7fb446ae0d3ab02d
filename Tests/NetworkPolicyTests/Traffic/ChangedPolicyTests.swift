import Addresses
import Testing

@testable import NetworkPolicy

/// What changes make step by step, against policies that are made anew.
@Suite struct ChangedPolicyTests {
    private let addresses = [
        "0.0.0.0", "198.51.100.1", "198.51.100.129", "198.51.7.7", "203.0.113.9", "255.255.255.255", "::",
        "2001:db8::1", "2001:db8:8000::1", "2001:db9::", "ffff::",
    ].map { IPAddress($0)! }
    private let targets = RandomPolicy.names.flatMap { [$0, "*." + $0] } + RandomPolicy.blocks

    private func change() throws -> PolicyChange {
        switch Int.random(in: 0..<12) {
        case 0: .replace(try RandomPolicy.make())
        case 1..<4: .remove(try (0..<Int.random(in: 1...3)).map { _ in try selector() })
        default: .merge(try RandomPolicy.make().rules)
        }
    }

    private func selector() throws -> RuleSelector {
        let target = try RuleTarget((targets + ["*"]).randomElement()!).target
        return try RuleSelector("\(RuleTarget(target, Bool.random() ? .unstated : RandomPolicy.scope()))")
    }

    /// Whether a rule of a patch speaks for a rule that was there: for all of its target, or where its text says ports, for
    /// these alone.
    private func replaces(_ new: Rule, _ old: Rule) -> Bool {
        new.target == old.target && (new.form == .fields || new.scope.identity == old.scope.identity)
    }

    private func apply(_ change: PolicyChange, to policy: Policy) -> (policy: Policy, removed: Int) {
        switch change {
        case .replace(let other): (other, policy.rules.count)
        case .merge(let patch):
            (policy.merging(patch), policy.rules.count { old in patch.contains { replaces($0, old) } })
        case .remove(let targets): policy.removing(targets)
        }
    }

    private func decisions(_ evaluator: PolicyEvaluator) throws -> [DomainName: Verdict] {
        Dictionary(
            uniqueKeysWithValues: try (RandomPolicy.names + ["z.y.org", "com", "other.net"]).map {
                let name = try DomainName($0)
                return (name, evaluator.evaluate(name))
            })
    }

    @Test func `changes one after the other lead where a policy made anew is, and touch no more than they say`() throws
    {
        for _ in 0..<40 {
            var evaluator = PolicyEvaluator(try RandomPolicy.make()), expected = evaluator.policy
            for _ in 0..<20 {
                let change = try change()
                let (policy, removed) = apply(change, to: expected)
                let next = evaluator.applying(change), fresh = PolicyEvaluator(policy)
                #expect(next.evaluator.policy == policy)
                #expect(next.evaluator.policy.rules == policy.rules)
                #expect(next.removed == removed)
                #expect(next.evaluator.addressPlan == fresh.addressPlan)
                #expect(try decisions(next.evaluator) == decisions(fresh))
                let positions = { (evaluator: PolicyEvaluator) in
                    evaluator.blocks.covered.elements.map { element in
                        (element.range, element.value.mapped { evaluator.list.client.position(of: $0) })
                    }
                }
                #expect(positions(next.evaluator).elementsEqual(positions(fresh)) { $0.0 == $1.0 && $0.1 == $1.1 })
                for (name, verdict) in try decisions(evaluator) where !next.touched.contains(name) {
                    #expect(verdict.action == next.evaluator.evaluate(name).action)
                }
                for address in addresses {
                    for traffic in RandomPolicy.traffic {
                        let raw = WalkingOracle.action(policy, name: nil, address: address, traffic)
                        let plan = next.evaluator.addressPlan(in: CIDRBlock(address)).first?.actions[traffic]
                        #expect(plan ?? policy.defaultAction == raw)
                    }
                    if !next.touched.contains(address) {
                        #expect(evaluator.evaluate(address).action == next.evaluator.evaluate(address).action)
                    }
                }
                (evaluator, expected) = (next.evaluator, policy)
            }
        }
    }

    @Test func `the operator's rules come first through every change, and cost a change nothing`() throws {
        for _ in 0..<40 {
            let operators = try RandomPolicy.make().rules
            var evaluator = PolicyEvaluator(try RandomPolicy.make(), operatorRules: operators)
            for _ in 0..<20 {
                let change = try change(), next = evaluator.applying(change)
                let policy = apply(change, to: evaluator.policy).policy
                #expect(next.evaluator.policy == policy && next.evaluator.operatorRules == operators)
                if case .replace = change {
                } else if case .everything = next.touched {
                    Issue.record("a change is judged as if it were of everything")
                }
                // As if one had written all of them, the operator's first.
                let whole = Policy(
                    defaultAction: policy.defaultAction, rules: operators + policy.rules, mode: policy.mode)
                let flat = PolicyEvaluator(whole)
                #expect(next.evaluator.addressPlan == flat.addressPlan)
                for (name, verdict) in try decisions(flat) {
                    let found = next.evaluator.evaluate(name)
                    #expect(found.action == verdict.action && next.evaluator.rule(for: name) == flat.rule(for: name))
                    switch (found.reason, verdict.reason) {
                    case (.operatorRule(let rule), .rule(let index, let same)):
                        #expect(index < operators.count && rule == same)
                    case (.rule(let index, let rule), .rule(let whole, let same)):
                        #expect(index == whole - operators.count && rule == same)
                    case (.defaultAction, .defaultAction): break
                    default: Issue.record("\(found) and \(verdict)")
                    }
                }
                for (name, verdict) in try decisions(evaluator) where !next.touched.contains(name) {
                    #expect(verdict.action == next.evaluator.evaluate(name).action)
                }
                evaluator = next.evaluator
            }
            let other = try RandomPolicy.make().rules
            let replaced = evaluator.replacing(operatorRules: other).evaluator
            #expect(replaced.policy == evaluator.policy)
            #expect(
                try decisions(replaced).mapValues(\.action)
                    == decisions(PolicyEvaluator(evaluator.policy, operatorRules: other)).mapValues(\.action))
        }
    }

    @Test func `a list of many rules stays in order while rules come and go`() throws {
        var list = RuleList(), expected: [Rule] = []
        let rule = { try Rule(action: .allow, text: "h\(Int.random(in: 0..<1_000_000)).example") }
        for round in 0..<400 {
            let front = try (0..<[0, 1, 3, 700].randomElement()!).map { _ in try rule() }
            list.prepend(front)
            expected = front + expected
            for _ in 0..<min(expected.count, [1, 40, 600].randomElement()!) where round % 3 > 0 {
                let position = Int.random(in: 0..<expected.count)
                let number = Array(list.numbered)[position].place
                #expect(list.position(of: number) == position && list[number] == expected[position])
                list.remove(number)
                expected.remove(at: position)
                if Int.random(in: 0..<20) > 0 { break }
            }
            #expect(list.count == expected.count)
            guard round % 20 == 0 else { continue }
            #expect(list.rules == expected)
            #expect(list == RuleList(expected))
            if !expected.isEmpty { #expect(list != RuleList(expected.dropLast())) }
        }
    }

    @Test func `ranges that are replaced, cut and joined are those of a table that is written down address by address`()
    {
        let address = { (number: Int) in IPAddress.v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: number))) }
        // At both ends of the family, where there is no address before or after.
        for base in [0, Int(UInt32.max) - 63] {
            var table = RangeTable<Int>(), expected = [Int?](repeating: nil, count: 64)
            for _ in 0..<1000 {
                let ends = [Int.random(in: 0..<64), Int.random(in: 0..<64)].sorted(), old = table
                var parts: [RangeTable<Int>.Element] = [], next = ends[0]
                while next <= ends[1] {
                    let last = Int.random(in: next...ends[1]), value = [nil, 1, 2, 3].randomElement()!
                    if let value { parts.append(.init(address(base + next)...address(base + last), value)) }
                    for index in next...last { expected[index] = value }
                    next = last + 1
                }
                let change = table.replace(address(base + ends[0])...address(base + ends[1]), with: parts)
                for index in 0..<64 {
                    #expect(table.element(holding: address(base + index))?.value == expected[index])
                }
                #expect(table == RangeTable(table.elements), "it is in its one form")
                #expect(Set(old.elements).subtracting(change.removed).union(change.added) == Set(table.elements))
                #expect(change.removed.isSubset(of: old.elements) && change.added.isDisjoint(with: old.elements))
            }
        }
    }
}
