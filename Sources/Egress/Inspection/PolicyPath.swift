import Addresses
import JSON
import NetworkPolicy

/// What stands between a sandbox and some traffic, one thing after the other, each with what it says now. The verdict of an
/// explanation is the policy's alone; this tells the rest.
package struct PolicyPath: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
        /// What is looked at.
        package enum Kind: String, Hashable, Sendable {
            /// Whether the name may be asked for.
            case name
            /// Whether names that its answer leads to are judged.
            case aliases
            /// What the answer filter takes out.
            case answer
            /// What names have opened.
            case addresses
            /// The rules for this port and protocol.
            case traffic
            /// Whether a budget refuses.
            case budget
        }

        package var kind: Kind
        /// Nil where it decides nothing.
        package var action: Action?
        package var text: String

        init(_ kind: Kind, _ action: Action?, _ text: String) {
            (self.kind, self.action, self.text) = (kind, action, text)
        }
    }

    package var steps: [Step] = []
    /// What to do, or what is easily taken for something else.
    package var hints: [String] = []

    /// Without braces.
    var jsonFields: [String] {
        let steps = steps.map { step in
            var fields = ["\"step\":\"\(step.kind.rawValue)\""]
            if let action = step.action { fields.append("\"verdict\":\"\(action.rawValue)\"") }
            return "{" + (fields + ["\"text\":" + JSONText.quoted(step.text)]).joined(separator: ",") + "}"
        }
        let hints = hints.map { JSONText.quoted($0) }
        return ["\"path\":[" + steps.joined(separator: ",") + "]", "\"hints\":[" + hints.joined(separator: ",") + "]"]
    }
}

extension EgressGuard {
    /// The way of some traffic. Reads the state of the moment and changes nothing.
    func path(of question: PolicyQuestion, _ verdict: Verdict, _ state: State) -> PolicyPath {
        var path = PolicyPath()
        switch question.target {
        case .name(let name): follow(name, question.scope, state, &path)
        case .address(let address): follow(address, question.scope, verdict, state, &path)
        }
        path.steps.append(budgetStep)
        if state.isObserving {
            path.hints.insert("the sandbox is observed: nothing of its policy is enforced", at: 0)
        }
        return path
    }

    private func follow(_ name: DomainName, _ scope: TrafficScope, _ state: State, _ path: inout PolicyPath) {
        let asked = state.evaluator.evaluate(name)
        path.steps.append(.init(.name, asked.action, "asking for the name is \(asked)"))
        path.steps.append(
            .init(.aliases, nil, "aliases (CNAME) in its answer are followed, and need no rules of their own"))
        path.steps.append(answerStep(name))
        path.steps.append(addressStep(name, scope, state))
        let traffic = state.evaluator.evaluate(name, scope)
        if !scope.isUnstated {
            path.steps.append(.init(.traffic, traffic.action, "this traffic to its addresses is \(traffic)"))
        }
        let denial = asked.isAllowed ? traffic : asked
        guard !denial.isAllowed else { return }
        let index: Int? = if case .rule(let index, _) = denial.reason { index } else { nil }
        path.hints += NearMisses.hints(name, scope, state.record.policy, deniedBy: index)
    }

    /// What the filter took out of the name's answers, as far as events remember.
    private func answerStep(_ name: DomainName) -> PolicyPath.Step {
        guard let (count, time) = watch.log.lastRemoval(name) else {
            return .init(.answer, nil, "no address of it is remembered to have been taken out of an answer")
        }
        return .init(
            .answer, .deny,
            "\(count) of its addresses were taken out of an answer at \(DecisionEvent.text(time)): private or reserved ones, "
                + "which only internal zones and address rules may have")
    }

    /// As many addresses as are told.
    private static let mostAddresses = 16

    private func addressStep(_ name: DomainName, _ scope: TrafficScope, _ state: State) -> PolicyPath.Step {
        let now = settings.now()
        let known = state.learned.entries.compactMap { address, entry -> (IPAddress, UInt64)? in
            entry.names[name].flatMap { $0 > now ? (address, $0 - now) : nil }
        }.sorted { $0.0.description < $1.0.description }
        guard !known.isEmpty else {
            return .init(.addresses, nil, "it opens no address now: the sandbox has not resolved it, or its time is up")
        }
        let isOpen = known.contains { state.verdict($0.0, scope, settings: settings).verdict.isAllowed }
        let texts = known.prefix(Self.mostAddresses).map { address, seconds in
            let verdict = state.verdict(address, scope, settings: settings).verdict
            return "\(address) (\(verdict.isAllowed ? "open" : "not open"), \(seconds) s)"
        }
        let more = known.count > texts.count ? " and \(known.count - texts.count) more" : ""
        return .init(.addresses, isOpen ? .allow : .deny, "known now: " + texts.joined(separator: ", ") + more)
    }

    private func follow(
        _ address: IPAddress, _ scope: TrafficScope, _ verdict: Verdict, _ state: State, _ path: inout PolicyPath
    ) {
        let names = (state.learned.entries[address]?.liveNames(now: settings.now()) ?? []).sorted {
            $0.description < $1.description
        }
        let told = names.prefix(Self.mostAddresses)
        let kept = told.filter { !settings.filter.permits(address, for: $0) }
        if !kept.isEmpty {
            path.steps.append(
                .init(
                    .answer, .deny,
                    "private or reserved: " + kept.map { "\($0)" }.joined(separator: ", ")
                        + " may not open it, only an address rule may"))
        }
        let more = names.count > told.count ? " and \(names.count - told.count) more" : ""
        path.steps.append(
            .init(
                .addresses, nil,
                names.isEmpty
                    ? "no name that the sandbox resolved leads to it now"
                    : "resolved from " + told.map { "\($0)" }.joined(separator: ", ") + more))
        path.steps.append(.init(.traffic, verdict.action, "this traffic is \(verdict)"))
        if !verdict.isAllowed, verdict.reason == .defaultAction, names.isEmpty {
            path.hints.append(
                "a rule for a name opens the addresses that the sandbox resolved it to, for as long as the record holds: "
                    + "ask for the name first, or allow the address")
        }
    }

    private var budgetStep: PolicyPath.Step {
        let used = watch.lately
        guard !used.isEmpty else { return .init(.budget, nil, "no budget has refused anything in the last minute") }
        return .init(
            .budget, .deny,
            "used up in the last minute: " + used.map(\.rawValue).sorted().joined(separator: ", "))
    }
}
