import Addresses
import FlowCheck
import NetworkPolicy

/// What some traffic passes, one thing after the other, for who asks why.
extension EgressGuard {
    /// The way of some traffic. Reads the state of the moment and changes nothing.
    func path(of question: PolicyQuestion, _ verdict: Verdict, _ state: State) -> PolicyPath {
        var path = PolicyPath()
        switch question.target {
        case .name(let name): follow(name, question.scope, verdict, state, &path)
        case .address(let address): follow(address, question.scope, verdict, state, &path)
        }
        path.steps.append(budgetStep)
        if !settings.judgesAddresses, !question.isAboutName {
            path.hints.insert("this guard filters names alone: addresses and ports are open whatever rules say", at: 0)
        }
        if state.isObserving { path.hints.insert(PolicyStatus.nothingEnforced, at: 0) }
        return path
    }

    /// As many as are told of names, addresses and aliases.
    private static let most = 16

    private func listed(_ texts: [String], of count: Int? = nil) -> String {
        let told = texts.prefix(Self.most), more = (count ?? texts.count) - told.count
        return told.joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
    }

    // MARK: A name

    private func follow(
        _ name: DomainName, _ scope: TrafficScope, _ verdict: Verdict, _ state: State, _ path: inout PolicyPath
    ) {
        let asked = state.evaluator.evaluate(name), notes = watch.notes(of: name)
        path.steps.append(.init(.name, asked.action, "asking for the name is \(asked)"))
        path.steps.append(aliasStep(name, notes, state))
        let addresses = addressStep(name, scope, state)
        path.steps.append(answerStep(name, notes, state, isOpen: addresses.action == .allow))
        path.steps.append(addresses)
        if !scope.isUnstated {
            path.steps.append(.init(.traffic, verdict.action, "this traffic to its addresses is \(verdict)"))
            if let step = checkStep(scope, verdict, state) { path.steps.append(step) }
        }
        let denial = asked.isAllowed ? verdict : asked, policy = state.evaluator.policy
        if !denial.isAllowed { path.hints += NearMisses.hints(name, scope, policy, denial.reason) }
        let aliases = Set(notes.flatMap(\.aliases))
        path.hints += NearMisses.hints(name, ofAliases: aliases, denial.isAllowed ? .deny : .allow, policy)
    }

    /// The chain of aliases that led to the addresses as last seen, and the rules that speak of one of them: none of these
    /// has a say, since only the name that is asked for is judged.
    private func aliasStep(_ name: DomainName, _ notes: [AnswerNotes.Note], _ state: State) -> PolicyPath.Step {
        let chains = notes.map(\.aliases).filter { !$0.isEmpty }
        guard let first = chains.first, let time = notes.first(where: { !$0.aliases.isEmpty })?.time else {
            return .init(
                .aliases, nil,
                "no alias (CNAME) of it is remembered; aliases are followed, and need no rules of their own")
        }
        let different = chains.count > 1 && chains[1] != first ? chains : [first]
        let texts = different.map { ([name] + $0).map { "\($0)" }.joined(separator: " -> ") }
        var seen: Set<DomainName> = []
        let ruled = different.joined().filter { seen.insert($0).inserted }.compactMap { alias -> String? in
            let verdict = state.evaluator.evaluate(alias)
            switch verdict.reason {
            case .rule, .operatorRule: return "\(alias) by itself is \(verdict)"
            case .defaultAction, .guardrail, .budget: return nil
            }
        }
        return .init(
            .aliases, nil,
            "as last seen at \(DecisionEvent.text(time)): \(texts.joined(separator: "; ")). Only the name that is asked for is judged; "
                + (ruled.isEmpty ? "no rule speaks of its aliases" : listed(ruled) + ", which decides nothing here"))
    }

    /// What the filter took out of the name's last answers, and why each is kept from it. That decides nothing where the name
    /// has another address that is open, or where all would be let by now.
    private func answerStep(
        _ name: DomainName, _ notes: [AnswerNotes.Note], _ state: State, isOpen: Bool
    ) -> PolicyPath.Step {
        let filtered = notes.filter { $0.removedCount > 0 }
        guard let time = filtered.map(\.time).max() else {
            return .init(.answer, nil, "as far as is remembered, no address was taken out of its last answers")
        }
        let count = filtered.reduce(0) { $0 + $1.removedCount }
        let objections = filtered.flatMap(\.removed).map { ($0, state.objection(to: $0, of: name, settings: settings)) }
        let texts = objections.map { "\($0.0) (\($0.1 ?? "the present policy lets it through"))" }
        let isKept = objections.count < count || objections.contains { $0.1 != nil }
        return .init(
            .answer, isKept && !isOpen ? .deny : nil,
            "\(count) of its addresses were taken out of its last answers, at \(DecisionEvent.text(time)): "
                + listed(texts, of: count))
    }

    private func addressStep(_ name: DomainName, _ scope: TrafficScope, _ state: State) -> PolicyPath.Step {
        let now = settings.now()
        let known = state.learned.entries.compactMap { address, entry -> (IPAddress, LearnedAddresses.Entry, UInt64)? in
            entry.names[name].flatMap { $0 > now ? (address, entry, $0 - now) : nil }
        }.sorted { $0.0.description < $1.0.description }
        guard !known.isEmpty else {
            return .init(
                .addresses, nil,
                "it opens no address now: the sandbox has not resolved it, or what it resolved has expired")
        }
        let isOpen = known.contains { state.opens($0.0, $0.1, scope, settings: settings) }
        let shut = state.isObserving ? "open, and not by the policy" : "not open"
        let texts = known.prefix(Self.most).map { address, entry, seconds in
            "\(address) (\(state.opens(address, entry, scope, settings: settings) ? "open" : shut), \(seconds) s)"
        }
        return .init(.addresses, isOpen ? .allow : .deny, "known now: " + listed(texts, of: known.count))
    }

    // MARK: An address

    private func follow(
        _ address: IPAddress, _ scope: TrafficScope, _ verdict: Verdict, _ state: State, _ path: inout PolicyPath
    ) {
        let now = settings.now(), entry = state.learned.entries[address]
        let names = (entry?.liveNames(now: now) ?? []).sorted { $0.description < $1.description }
        let told = names.prefix(Self.most)
        let kept = told.filter { !settings.filter.permits(address, for: $0) }
        if !kept.isEmpty {
            path.steps.append(
                .init(
                    .answer, verdict.isAllowed ? nil : .deny,
                    "private or reserved: " + kept.map { "\($0)" }.joined(separator: ", ")
                        + " may not open it, only an address rule may"))
        }
        let texts = told.map { name in
            let way = watch.notes(of: name).first { !$0.aliases.isEmpty }?.aliases.last
            return "\(name)" + (way.map { " (by way of \($0))" } ?? "")
        }
        path.steps.append(
            .init(
                .addresses, nil,
                names.isEmpty
                    ? "no name that the sandbox resolved leads to it now"
                    : "resolved from " + listed(texts, of: names.count)))
        path.steps.append(.init(.traffic, verdict.action, "this traffic is \(verdict)"))
        if let step = checkStep(scope, verdict, state, to: address) { path.steps.append(step) }
        guard !verdict.isAllowed else { return }
        path.hints += NearMisses.hints(address, scope, state.evaluator.policy, verdict.reason)
        guard verdict.reason == .defaultAction, names.isEmpty else { return }
        if let past = entry?.names.keys.min(by: { $0.comesBefore($1) }) {
            path.hints.append("the sandbox resolved it from \(past), which has expired: resolve the name again")
        } else {
            path.hints.append(
                "a rule for a name opens the addresses that the sandbox resolved it to, for as long as the record holds: "
                    + "resolve the name first, or allow the address")
        }
    }

    // MARK: Both

    /// What the flow check asks of traffic that names alone open.
    private func checkStep(
        _ scope: TrafficScope, _ verdict: Verdict, _ state: State, to address: IPAddress? = nil
    ) -> PolicyPath.Step? {
        guard settings.flowCheck != nil, !state.isObserving, verdict.isAllowed, !scope.leadsToFilter else { return nil }
        // What an address rule opens need not state a name.
        if let address, state.evaluator.evaluate(address, scope).isAllowed || state.learned.entries[address] == nil {
            return nil
        }
        let unchecked = scope.ports.count == 1 && scope.ports[0].count == 1 ? scope.ports[0].lowerBound : nil
        if let port = unchecked, settings.uncheckedPorts[port] == true {
            return .init(.check, .allow, "connections to port \(port) need not state a name (unchecked_ports)")
        }
        switch scope.transport {
        case .udp:
            return .init(
                .check, .deny, "UDP states no name: where a name alone opens an address, it is refused")
        case .tcp, nil:
            return .init(
                .check, nil,
                "where a name alone opens an address, a TCP connection has to state an allowed name (TLS or HTTP)"
                    + (scope.transport == nil ? ", and UDP is refused" : ""))
        case .icmp, .any: return nil
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

extension EgressGuard.State {
    /// Whether the policy opens a learned address to this traffic now.
    fileprivate func opens(
        _ address: IPAddress, _ entry: LearnedAddresses.Entry, _ scope: TrafficScope, settings: GuardSettings
    ) -> Bool {
        // Without a profile it is not in the kernel: there was no room.
        entry.profile != nil && verdict(address, scope, settings: settings).verdict.isAllowed
    }

    /// Why an address is kept from a name; nil if it no longer is.
    fileprivate func objection(to address: IPAddress, of name: DomainName, settings: GuardSettings) -> String? {
        if ruleset.protected.contains(address) { return "metadata or link-local: no policy opens it" }
        let verdict = evaluator.evaluate(address, learnedFrom: name)
        if !verdict.isAllowed { return "\(verdict)" }
        return settings.filter.permits(address, for: name, policy: evaluator)
            ? nil : "private or reserved: only an internal zone or an address rule may have it"
    }
}
