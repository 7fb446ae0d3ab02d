import DNSFilter
import Netfilter
import NetworkPolicy

/// The kernel's side of a sidecar's guard: that of any guard, with what shares the namespace let through.
final class SidecarKernel: KernelRules {
    private let base: any KernelRules
    private let shared: SharedNamespace
    private let mode: SidecarConfiguration.Mode

    init(_ base: any KernelRules, shared: SharedNamespace, mode: SidecarConfiguration.Mode) {
        self.base = base
        self.shared = shared
        self.mode = mode
    }

    private var judgesAddresses: Bool { mode != .names }

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        var ruleset = ruleset
        ruleset.exceptions = shared
        // An open plan has no blocks, and so always room.
        if !judgesAddresses { _ = ruleset.apply(.open) }
        try base.install(ruleset, learned: judgesAddresses ? learned : [])
    }

    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        if judgesAddresses { try base.apply(difference, learned: learned) }
    }

    func learned() throws(EgressError) -> [FoundElement] { judgesAddresses ? try base.learned() : [] }

    @discardableResult
    func cut(where isRevoked: (IPAddress, Traffic) -> Bool) throws(EgressError) -> Int {
        judgesAddresses ? try base.cut(where: isRevoked) : 0
    }

    func liveDestinations() throws(EgressError) -> Set<IPAddress> {
        judgesAddresses ? try base.liveDestinations() : []
    }

    func forgetNameQueries() throws(EgressError) { try base.forgetNameQueries() }
}
