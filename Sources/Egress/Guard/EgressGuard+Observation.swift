import NetworkPolicy
import Synchronization

/// Which ports an observed sandbox uses: conntrack knows, since everything passes and no rule tells.
extension EgressGuard {
    /// Seconds between two looks at the connections of an observed sandbox. conntrack keeps a connection for ten seconds or
    /// more after its end, so what was answered is seen once at least.
    static let observationInterval: UInt64 = 5

    /// Notes where an observed sandbox's connections go. Of another one it costs nothing. To be called every few seconds.
    package func observeFlows() {
        let now = settings.now()
        let isDue = state.withLock { state in
            guard state.isObserving, now >= state.mayObserveAt else { return false }
            state.mayObserveAt = now + Self.observationInterval
            return true
        }
        guard isDue else { return }
        do throws(EgressError) { watch.observed(try kernel.liveFlows()) } catch { audit.flowsNotRead(error) }
    }

    /// The policy in force, and what more the sandbox was seen to use. Looks at its connections of this moment, too.
    package func suggest() -> PolicySuggestion {
        let now: Set<LiveFlow>? = try? kernel.liveFlows()
        let state = state.withLock { $0 }
        if state.isObserving, let now { watch.observed(now) }
        // The sandbox makes as many connections and asks for as many names as it likes: all of it is bounded.
        var observed = watch.observed
        observed.insert((now ?? []).filter(\.isAnswered))
        addresses: for entry in state.learned.entries.values {
            for name in entry.names.keys { guard observed.insert(name) else { break addresses } }
        }
        var use = SandboxUse(
            names: observed.names, flows: observed.flows.filter { !state.ruleset.protected.contains($0.address) },
            isIncomplete: observed.isIncomplete || now == nil)
        for flow in use.flows where use.resolved[flow.address] == nil {
            let names = state.learned.entries[flow.address]?.names ?? [:]
            use.resolved[flow.address] = Array(names.keys.prefix(SandboxUse.namesOfAddress))
            if names.count > SandboxUse.namesOfAddress { use.isIncomplete = true }
        }
        return PolicySuggestion(
            use, state.evaluator.policy, operatorRules: state.evaluator.operatorRules, filter: settings.filter,
            maxRules: settings.maxRules)
    }
}
