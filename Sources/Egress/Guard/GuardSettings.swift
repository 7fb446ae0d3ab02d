import CLinux
import Glibc
import NetworkPolicy

/// Settings that all guards of a node share.
struct GuardSettings: Sendable {
    var filter: AnswerFilter
    var alwaysDeny: [CIDRBlock]
    var maxRules: Int
    var maxLearnedAddresses: Int
    var minimumLifetime: UInt32
    var lifetimeGrace: UInt32
    var budgets: EgressBudgets
    /// Rules in front of every policy's.
    var operatorRules: [Rule]
    /// Receive every decision of every sandbox.
    var outlets: [any EventOutlet]
    /// `nil` if flows are not checked (mode `dns+nft`).
    var flowCheck: FlowCheckSettings?
    let uncheckedPorts: PortMap<Bool>
    /// Events kept for each sandbox; about 50 KiB if all have long names.
    var eventsKept = 256
    /// Whole seconds of a monotonic clock.
    var now: @Sendable () -> UInt64
    /// Milliseconds of a monotonic clock.
    var ticks: @Sendable () -> UInt64 = GuardSettings.monotonicMilliseconds
    /// Milliseconds since 1970, for people.
    var time: @Sendable () -> UInt64 = GuardSettings.milliseconds

    init(_ configuration: EgressConfiguration, now: @escaping @Sendable () -> UInt64 = GuardSettings.monotonicSeconds) {
        filter = AnswerFilter(
            internalZones: configuration.internalZones, internalRanges: configuration.internalRanges)
        alwaysDeny = configuration.alwaysDeny
        maxRules = configuration.maxRules
        budgets = configuration.budgets
        operatorRules = configuration.resolverBlock.rules
        let outlets: [(any EventOutlet)?] = [configuration.auditLog, configuration.denyWebhook]
        self.outlets = outlets.compactMap { $0 }
        maxLearnedAddresses = configuration.maxLearnedAddresses
        minimumLifetime = configuration.minimumLifetime
        lifetimeGrace = configuration.lifetimeGrace
        flowCheck = configuration.flowCheck
        uncheckedPorts = PortMap(true, ports: (configuration.flowCheck?.uncheckedPorts ?? []).map { $0...$0 })
        self.now = now
    }

    /// The evaluator of a policy with the operator's rules in front.
    func evaluator(_ policy: Policy) -> PolicyEvaluator {
        var inForce = Policy(
            defaultAction: policy.defaultAction, rules: operatorRules + policy.rules, mode: policy.mode)
        inForce.operatorRules = operatorRules.count + policy.operatorRules
        return PolicyEvaluator(inForce)
    }

    /// The policy and evaluator after a change, and the targets whose verdicts may differ.
    func successor(
        of policy: Policy, inForce evaluator: PolicyEvaluator, _ change: PolicyChange
    ) -> (policy: Policy, evaluator: PolicyEvaluator, touched: TouchedTargets, removed: Int) {
        // With operator rules in front, the evaluator cannot be changed incrementally.
        guard operatorRules.isEmpty else {
            let next = PolicyEvaluator(policy).applying(change), policy = next.evaluator.policy
            return (policy, self.evaluator(policy), .everything, next.removed)
        }
        let next = evaluator.applying(change)
        return (next.evaluator.policy, next.evaluator, next.touched, next.removed)
    }

    /// Converts a verdict to the client's view of the policy, in which rule positions do not count the operator's
    /// rules.
    /// - Parameter count: how many rules at the front are the operator's; nil for the number in these settings.
    func asWritten(_ verdict: Verdict, operatorRules count: Int? = nil) -> Verdict {
        let count = count ?? operatorRules.count
        guard count > 0, case .rule(let index, let rule) = verdict.reason else { return verdict }
        if index < count {
            return Verdict(action: verdict.action, reason: .guardrail("the operator's rule \(rule)"))
        }
        return Verdict(action: verdict.action, reason: .rule(index - count, rule))
    }

    @Sendable static func monotonicSeconds() -> UInt64 {
        var present = timespec()
        clock_gettime(CLOCK_BOOTTIME, &present)
        return UInt64(present.tv_sec)
    }

    @Sendable static func monotonicMilliseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        return UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
    }

    @Sendable static func milliseconds() -> UInt64 {
        var present = timespec()
        clock_gettime(CLOCK_REALTIME, &present)
        return UInt64(max(0, present.tv_sec)) * 1000 + UInt64(present.tv_nsec) / 1_000_000
    }

    /// Seconds for which an address learned from a record with this TTL stays open. At most a day, so that the kernel
    /// forgets it some time.
    func lifetime(of timeToLive: UInt32) -> UInt64 {
        UInt64(min(max(timeToLive, minimumLifetime), 86_400)) + UInt64(lifetimeGrace)
    }
}
