// What is carried out while a sandbox is observed: nothing but the operator's rules, which no client of the policy API may
// switch off by observing.
extension PolicyEvaluator {
    static func enforcedWhileObserving(of policy: Policy) -> PolicyEvaluator? {
        guard policy.mode == .observe, policy.operatorRules > 0 else { return nil }
        return PolicyEvaluator(
            Policy(defaultAction: .allow, rules: Array(policy.rules.prefix(policy.operatorRules))))
    }

    /// What the kernel has to carry out of the address rules.
    public var enforcedPlan: AddressPlan {
        policy.mode == .observe ? enforcedWhileObserving?.addressPlan ?? .open : addressPlan
    }

    /// Whether the name stays denied though the sandbox is observed.
    public func isEnforcedWhileObserving(_ name: DomainName) -> Bool {
        enforcedWhileObserving.map { !$0.evaluate(name).isAllowed } ?? false
    }

    /// Whether nothing of this name's address may be reached though the sandbox is observed.
    public func isEnforcedWhileObserving(_ address: IPAddress, learnedFrom name: DomainName) -> Bool {
        enforcedWhileObserving.map { !$0.allows(address, learnedFrom: name) } ?? false
    }
}
