import Addresses
import NetworkPolicy
import Synchronization

extension EgressGuard {
    /// What would happen to some traffic of the sandbox now. Guardrails come first, then the names that the address was
    /// learned from, then the address itself.
    package func explain(_ question: PolicyQuestion) -> PolicyExplanation {
        let state = state.withLock { $0 }
        func answer(_ verdict: Verdict, _ name: DomainName? = nil) -> PolicyExplanation {
            // Guardrails and the operator's rules are enforced even while the sandbox is observed, rules for names also
            // where addresses are not judged.
            let isJudged = settings.judgesAddresses || question.isAboutName
            let isEnforced =
                switch verdict.reason {
                case .guardrail: true
                case .operatorRule: isJudged
                default: !state.isObserving && isJudged
                }
            return PolicyExplanation(
                question: question, verdict: verdict, learnedFrom: name, isEnforced: isEnforced,
                path: path(of: question, verdict, state))
        }
        // Port 53 always leads to the DNS filter, whatever the rules say.
        if question.scope.leadsToFilter {
            return answer(Verdict(action: .allow, reason: .guardrail("port 53 leads to the DNS filter")))
        }
        func isOwn(_ address: IPAddress) -> Bool { address.isLoopback || ownAddresses.contains(address) }
        if case .address(let address) = question.target, let reserved = settings.reserved,
            reserved.contains(address, question.scope, isOwn: isOwn(address))
        {
            return answer(Verdict(action: .deny, reason: .guardrail("only the guard may use this port")))
        }
        switch question.target {
        case .name(let name) where question.scope.isUnstated: return answer(state.evaluator.evaluate(name))
        case .name(let name): return answer(state.evaluator.evaluate(name, question.scope))
        case .address(let address) where isOwn(address):
            return answer(Verdict(action: .allow, reason: .guardrail("it is the sandbox's own address")))
        case .address(let address) where state.ruleset.protected.contains(address):
            return answer(ProtectedAddresses.verdict)
        case .address(let address):
            let (verdict, name) = state.verdict(address, question.scope, settings: settings)
            return answer(verdict, name)
        }
    }
}

extension EgressGuard.State {
    /// The verdict on traffic to an address, and the name whose rules decided.
    func verdict(
        _ address: IPAddress, _ scope: TrafficScope, settings: GuardSettings
    ) -> (verdict: Verdict, name: DomainName?) {
        let alone = evaluator.evaluate(address, scope)
        let names = learned.entries[address]?.liveNames(now: settings.now()) ?? []
        let byName = names.sorted { $0.description < $1.description }.map { name in
            let verdict = evaluator.evaluate(address, learnedFrom: name, scope)
            // A name opens nothing on an address that the answer filter keeps from it; there only address rules allow.
            return verdict.isAllowed && !settings.filter.permits(address, for: name) ? (alone, nil) : (verdict, name)
        }
        let found: (verdict: Verdict, name: DomainName?) =
            byName.first { $0.0.isAllowed } ?? byName.first ?? (alone, nil)
        return found.verdict == alone ? (alone, nil) : found
    }
}

extension TrafficScope {
    /// Whether it is the filter's, whatever rules say.
    var leadsToFilter: Bool { ports == [53...53] && transport != .icmp }
}
