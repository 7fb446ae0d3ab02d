import Addresses
import DNSFilter
import Egress
import Netfilter
import NetworkPolicy
import Synchronization

/// What else is put into the namespace before each installation of the policy's rules: nothing until `set`.
final class RulesBeside: Sendable {
    private let body = Mutex<@Sendable () throws(EgressError) -> Void>({})

    func set(_ body: @escaping @Sendable () throws(EgressError) -> Void) { self.body.withLock { $0 = body } }

    func install() throws(EgressError) { try body.withLock { $0 }() }
}

/// `KernelRules` of a sidecar: those of any guard, with exceptions for what shares the namespace.
final class SidecarKernel: KernelRules {
    private let base: any KernelRules
    private let shared: SharedNamespace
    private let mode: SidecarConfiguration.Mode
    private let beside: RulesBeside

    init(_ base: any KernelRules, shared: SharedNamespace, mode: SidecarConfiguration.Mode, beside: RulesBeside) {
        self.base = base
        self.shared = shared
        self.mode = mode
        self.beside = beside
    }

    private var judgesAddresses: Bool { mode != .names }

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        var ruleset = ruleset
        ruleset.exceptions = shared
        // An open plan has no blocks, so there is always room.
        if !judgesAddresses { _ = ruleset.apply(.open) }
        try beside.install()
        try base.install(ruleset, learned: judgesAddresses ? learned : [])
    }

    func wasChangedByOthers() throws(EgressError) -> Bool { try base.wasChangedByOthers() }

    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        if judgesAddresses { try base.apply(difference, learned: learned) }
    }

    func learned() throws(EgressError) -> [FoundElement] { judgesAddresses ? try base.learned() : [] }

    @discardableResult
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int {
        guard judgesAddresses || forgettingNameQueries else { return 0 }
        return try base.cut(forgettingNameQueries: forgettingNameQueries) { judgesAddresses && isRevoked($0, $1) }
    }

    func liveFlows() throws(EgressError) -> Set<LiveFlow> { judgesAddresses ? try base.liveFlows() : [] }
}
