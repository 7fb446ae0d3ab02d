import DNSFilter
import FlowCheck
import Logging
import Metrics
import NetworkPolicy
import Synchronization
import System

/// One guard's reports to the operator: rate-limited log lines, and counters for everything.
final class GuardAudit: Sendable {
    private let logger: Logger
    private let now: @Sendable () -> UInt64
    private let deniedHere = Atomic<UInt64>(0)
    private let exceededHere = Atomic<UInt64>(0)
    private let limiter = Mutex(RateLimiter(Rate(burst: 20, refill: 1, period: 1), now: 0))

    // The reference's metric names, where it has the same metric.
    private static let denied = Counter(label: "egress.policy.denied_total")
    private static let refused = Counter(label: "sallyport_egress_answers_withheld_total")
    private static let failed = Dictionary(
        uniqueKeysWithValues: DNSFailure.allCases.map {
            ($0, Counter(label: "egress.dns.query.failed_total", dimensions: [("reason", $0.rawValue)]))
        })
    private static let forwarded = Timer(label: "egress.dns.query.duration")
    private static let removed = Counter(label: "sallyport_egress_addresses_removed_total")
    private static let changed = Counter(label: "sallyport_egress_policy_changes_total")
    private static let flowsChecked = Counter(label: "sallyport_egress_flows_checked_total")
    private static let flowsRefused = Counter(label: "sallyport_egress_flows_refused_total")
    private static let packetsRefused = Dictionary(
        uniqueKeysWithValues: RefusalReason.allCases.filter { !$0.counted.isEmpty }.map {
            ($0, Counter(label: "sallyport_egress_packets_refused_total", dimensions: [("reason", $0.rawValue)]))
        })
    private static let restored = Counter(label: "sallyport_egress_rules_restored_total")
    private static let cut = Counter(label: "sallyport_egress_flows_cut_total")

    private static let exceeded = Dictionary(
        uniqueKeysWithValues: Budget.allCases.map {
            ($0, Counter(label: "sallyport_egress_budget_refusals_total", dimensions: [("budget", $0.rawValue)]))
        })

    init(id: String, logger: Logger, now: @escaping @Sendable () -> UInt64) {
        var logger = logger
        logger[metadataKey: "sandbox"] = "\(id)"
        self.logger = logger
        self.now = now
    }

    /// This sandbox's counts of denied names and exceeded budgets.
    var counts: (denied: UInt64, exceeded: UInt64) {
        (deniedHere.load(ordering: .relaxed), exceededHere.load(ordering: .relaxed))
    }

    /// - Parameter now: seconds.
    func nameDenied(_ name: DomainName, _ verdict: Verdict, now: UInt64) {
        Self.denied.increment()
        deniedHere.wrappingAdd(1, ordering: .relaxed)
        limited(.info, "name denied", now: now) { ["name": "\(name)", "reason": "\(verdict.reason)"] }
    }

    /// Records how long an allowed query waited for upstreams.
    func forwarded(milliseconds: UInt64) { Self.forwarded.recordMilliseconds(Int64(clamping: milliseconds)) }

    func queryFailed(_ name: DomainName, _ failure: DNSFailure, _ reason: String) {
        Self.failed[failure]?.increment()
        limited(.warning, "name not resolved") { ["name": "\(name)", "reason": "\(reason)"] }
    }

    func typeRefused(_ name: DomainName, _ type: UInt16) {
        Self.denied.increment()
        limited(.info, "record type refused") { ["name": "\(name)", "type": "\(type)"] }
    }

    /// Reports addresses that the answer filter removed: DNS rebinding, or a name that should be configured as
    /// internal.
    func addressesRemoved(_ name: DomainName, _ count: Int) {
        Self.removed.increment(by: count)
        limited(.warning, "addresses removed from an answer") { ["name": "\(name)", "count": "\(count)"] }
    }

    /// Reports an answer that was not sent because its addresses could not be opened.
    func answerWithheld(_ name: DomainName, _ reason: String) {
        Self.refused.increment()
        limited(.warning, "answer withheld") { ["name": "\(name)", "reason": "\(reason)"] }
    }

    func budgetExceeded(_ budget: Budget, times: Int = 1) {
        Self.exceeded[budget]?.increment(by: times)
        exceededHere.wrappingAdd(UInt64(times), ordering: .relaxed)
        limited(.warning, "budget used up") { ["budget": "\(budget.rawValue)"] }
    }

    func flow(_ event: FlowEvent) {
        guard let refusal = event.refusal else { return Self.flowsChecked.increment() }
        Self.flowsRefused.increment()
        limited(.info, "connection refused") {
            var metadata: Logger.Metadata = [
                "address": "\(event.target.address)", "port": "\(event.target.port)", "reason": "\(refusal)",
            ]
            if let name = event.name { metadata["name"] = "\(name)" }
            return metadata
        }
    }

    func packetsRefused(_ reason: RefusalReason, _ count: Int) {
        Self.packetsRefused[reason]?.increment(by: count)
        limited(.info, "packets refused") { ["reason": "\(reason.rawValue)", "count": "\(count)"] }
    }

    func refusalsNotRead(_ error: EgressError) {
        limited(.warning, "the kernel's counters of refused packets could not be read") { ["error": "\(error)"] }
    }

    func policyChanged(_ policy: Policy, flowsCut: Int) {
        Self.changed.increment()
        Self.cut.increment(by: flowsCut)
        limited(.notice, "policy changed") {
            [
                "defaultAction": "\(policy.defaultAction.rawValue)", "rules": "\(policy.ruleCount)",
                "flowsCut": "\(flowsCut)",
            ]
        }
    }

    /// Reports that another program had changed tables of the namespace.
    func rulesRestored(flowsCut: Int) {
        Self.restored.increment()
        Self.cut.increment(by: flowsCut)
        limited(.error, "tables were changed by others; the rules were restored") { ["flowsCut": "\(flowsCut)"] }
    }

    func notRestored(_ error: EgressError) {
        limited(.critical, "another program changed the namespace's tables, and the rules cannot be restored") {
            ["error": "\(error)"]
        }
    }

    func notRenewed(_ error: EgressError) {
        limited(.warning, "learned addresses in use could not be extended") { ["error": "\(error)"] }
    }

    func listsNotInForce(_ error: EgressError) {
        limited(.error, "the operator's lists are not in force here; they are tried again") { ["error": "\(error)"] }
    }

    func flowsNotRead(_ error: EgressError) {
        limited(.warning, "the connections of an observed sandbox could not be read") { ["error": "\(error)"] }
    }

    func rollBackFailed(_ error: EgressError) {
        logger.critical("the policy on disk differs from the one in force", metadata: ["error": "\(error)"])
    }

    private func limited(
        _ level: Logger.Level, _ message: Logger.Message, now: UInt64? = nil, _ metadata: () -> Logger.Metadata
    ) {
        let now = now ?? self.now()
        guard let suppressed = limiter.withLock({ $0.admit(now: now) }) else { return }
        var metadata = metadata()
        if suppressed > 0 { metadata["suppressed"] = "\(suppressed)" }
        logger.log(level: level, message, metadata: metadata)
    }
}
