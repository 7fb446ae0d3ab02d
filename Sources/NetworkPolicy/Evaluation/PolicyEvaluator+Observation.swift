import Addresses

// While a sandbox is observed only the operator's rules are enforced: a client of the policy API must not be able to
// switch them off by observing.
extension PolicyEvaluator {
    static func enforcedWhileObserving(of policy: Policy, _ operatorRules: [Rule]) -> PolicyEvaluator? {
        guard policy.mode == .observe, !operatorRules.isEmpty else { return nil }
        return PolicyEvaluator(.allowAll, operatorRules: operatorRules)
    }

    /// The address rules that the kernel has to enforce.
    public var enforcedPlan: AddressPlan {
        policy.mode == .observe ? enforcedWhileObserving?.addressPlan ?? .open : addressPlan
    }

    /// Whether the name is denied even while the sandbox is observed.
    public func isEnforcedWhileObserving(_ name: DomainName) -> Bool {
        enforcedWhileObserving.map { !$0.evaluate(name).isAllowed } ?? false
    }

    /// Whether this name's address is closed even while the sandbox is observed.
    public func isEnforcedWhileObserving(_ address: IPAddress, learnedFrom name: DomainName) -> Bool {
        enforcedWhileObserving.map { !$0.allows(address, learnedFrom: name) } ?? false
    }
}
