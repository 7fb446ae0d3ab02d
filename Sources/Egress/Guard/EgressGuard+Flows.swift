import DNSFilter
import FlowCheck
import NetworkPolicy
import Synchronization

/// Where a sandbox's flows are redirected to be checked: a port on its loopback, and the mark of the check's own
/// packets.
struct FlowCheckPoint: Hashable, Sendable {
    var port: UInt16
    var mark: SocketMark
}

/// Answers the flow check, on its thread.
extension EgressGuard: FlowPolicy {
    package func refusal(_ name: DomainName, _ target: FlowTarget) -> FlowRefusal? {
        state.withLock { $0.refusal(name, target, settings: settings) }
    }

    package func record(_ event: FlowEvent) {
        audit.flow(event)
        if event.refusal != nil { watch.flowRefused(event) }
    }
}

extension EgressGuard.State {
    /// Why a flow to a learned address that states this name may not begin.
    func refusal(_ name: DomainName, _ target: FlowTarget, settings: GuardSettings) -> FlowRefusal? {
        let entry = learned.entries[target.address]
        if ruleset.protected.contains(target.address) {
            return .denied(ProtectedAddresses.verdict)
        }
        // The policy changed to observing while the flow was on its way.
        if isObserving { return nil }
        // Judge the name first, so that a denied name is reported as denied rather than as not learned.
        let isLearned = entry?.names[name].map { $0 > settings.now() } ?? false
        let verdict = verdict(name, target)
        guard verdict.isAllowed else { return .denied(verdict) }
        guard isLearned, settings.filter.permits(target.address, for: name) || allowsAlone(target) else {
            return .notLearned
        }
        return nil
    }

    /// Whether an open checked flow may go on. Its name may have been learned long ago.
    func allowsCheckedFlow(_ name: DomainName, _ target: FlowTarget, settings: GuardSettings) -> Bool {
        if ruleset.protected.contains(target.address) { return false }
        return isObserving || verdict(name, target).isAllowed
    }

    private func verdict(_ name: DomainName, _ target: FlowTarget) -> Verdict {
        evaluator.evaluate(target.address, learnedFrom: name, target.scope)
    }

    private func allowsAlone(_ target: FlowTarget) -> Bool {
        evaluator.evaluate(target.address, target.scope).isAllowed
    }
}

extension FlowTarget {
    /// Port 0 is no traffic; nothing dials it.
    fileprivate var scope: TrafficScope {
        (try? TrafficScope(transport: .tcp, ports: [port...port])) ?? .unstated
    }
}
