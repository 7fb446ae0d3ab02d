import Logging
import Metrics
import NetworkPolicy
import Synchronization

/// What one guard tells the operator: log lines at a bounded rate, and counters for everything.
final class GuardAudit: Sendable {
    private let logger: Logger
    private let now: @Sendable () -> UInt64
    private let limiter = Mutex(RateLimiter(burst: 20, perSecond: 1))

    private static let denied = Counter(label: "sallyport_egress_names_denied_total")
    private static let refused = Counter(label: "sallyport_egress_answers_withheld_total")
    private static let failed = Counter(label: "sallyport_egress_names_failed_total")
    private static let removed = Counter(label: "sallyport_egress_addresses_removed_total")
    private static let changed = Counter(label: "sallyport_egress_policy_changes_total")
    private static let cut = Counter(label: "sallyport_egress_flows_cut_total")

    init(id: String, logger: Logger, now: @escaping @Sendable () -> UInt64) {
        var logger = logger
        logger[metadataKey: "sandbox"] = "\(id)"
        self.logger = logger
        self.now = now
    }

    func nameDenied(_ name: DomainName, _ verdict: Verdict) {
        Self.denied.increment()
        limited(.info, "name denied") { ["name": "\(name)", "reason": "\(verdict.reason)"] }
    }

    func queryFailed(_ name: DomainName, _ reason: String) {
        Self.failed.increment()
        limited(.warning, "name not resolved") { ["name": "\(name)", "reason": "\(reason)"] }
    }

    func typeRefused(_ name: DomainName, _ type: UInt16) {
        Self.denied.increment()
        limited(.info, "record type refused") { ["name": "\(name)", "type": "\(type)"] }
    }

    /// An upstream gave addresses that this name may not have: DNS rebinding, or a name that ought to be internal.
    func addressesRemoved(_ name: DomainName, _ count: Int) {
        Self.removed.increment(by: count)
        limited(.warning, "addresses taken out of an answer") { ["name": "\(name)", "count": "\(count)"] }
    }

    /// An answer that was not sent because its addresses could not be opened.
    func answerWithheld(_ name: DomainName, _ reason: String) {
        Self.refused.increment()
        limited(.warning, "answer withheld") { ["name": "\(name)", "reason": "\(reason)"] }
    }

    func policyChanged(_ policy: Policy, flowsCut: Int) {
        Self.changed.increment()
        Self.cut.increment(by: flowsCut)
        limited(.notice, "policy changed") {
            [
                "defaultAction": "\(policy.defaultAction.rawValue)", "rules": "\(policy.rules.count)",
                "flowsCut": "\(flowsCut)",
            ]
        }
    }

    func rollBackFailed(_ error: EgressError) {
        logger.critical("the policy on disk and the one in force differ", metadata: ["error": "\(error)"])
    }

    private func limited(_ level: Logger.Level, _ message: Logger.Message, _ metadata: () -> Logger.Metadata) {
        guard let suppressed = limiter.withLock({ $0.admit(now: now()) }) else { return }
        var metadata = metadata()
        if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
