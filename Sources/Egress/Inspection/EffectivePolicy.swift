import JSON
import NetworkPolicy
import Synchronization

/// All that decides what a sandbox reaches, in the order in which it decides, each with whose it is
/// (docs/egress.md#what-holds). The policy alone is `PolicyStatus`.
package struct EffectivePolicy: Sendable {
    /// Who has the say.
    package enum Origin: String, Hashable, Sendable {
        /// Built in: nobody changes it.
        case sallyport
        case `operator`
        case client
    }

    package struct Layer: Sendable {
        package enum Kind: String, Hashable, Sendable {
            case guardrails
            case blockDoT = "block_dot"
            case blockDoH = "block_doh"
            case denyAlways = "deny.always"
            case allowAlways = "allow.always"
            case policy
            /// What is left, and the action for it.
            case standard = "default"
            case budgets
        }

        package var kind: Kind
        package var origin: Origin
        /// Whether it is in force: what is only observed is not.
        package var isEnforced = true
        package var text: String
        package var rules: [Rule] = []
        /// Of the default alone.
        package var action: Action?
        /// Of the budgets alone, by their names; 0 is no limit.
        package var budgets: [(name: String, limit: Int)] = []
    }

    package var layers: [Layer]
    package var isEnforced: Bool
    package var enforcementMode: String
    /// Whether the operator's lists of now are not in force: for a mistake in them, or since the kernel refused them.
    package var hasStaleLists: Bool

    package func encodedJSON() -> [UInt8] {
        let head =
            "{\"enforced\":\(isEnforced),\"enforcementMode\":\"\(enforcementMode)\",\"staleLists\":\(hasStaleLists),\"layers\":["
        return Array(head.utf8) + Array(layers.map(\.encodedJSON).joined(separator: [UInt8(ascii: ",")]))
            + Array("]}".utf8)
    }
}

extension EffectivePolicy.Layer {
    fileprivate var encodedJSON: [UInt8] {
        var text = Array(
            "{\"layer\":\"\(kind.rawValue)\",\"from\":\"\(origin.rawValue)\",\"enforced\":\(isEnforced),\"text\":".utf8)
        JSONText.append(quoted: self.text, to: &text)
        switch kind {
        case .standard: if let action { text += ",\"action\":\"\(action.rawValue)\"".utf8 }
        case .budgets:
            let limits = budgets.map { "\"\($0.name)\":\($0.limit)" }
            text += ",\"budgets\":{\(limits.joined(separator: ","))}".utf8
        default: text += Array(",\"rules\":".utf8) + Policy.encodeRules(rules)
        }
        return text + [UInt8(ascii: "}")]
    }
}

extension EgressGuard {
    /// What holds now.
    /// - Parameter lists: those that the guard follows; nil for none.
    package func effectivePolicy(_ lists: OperatorLists?, enforcementMode: String? = nil) -> EffectivePolicy {
        let state = state.withLock { $0 }
        let policy = state.record.policy, isObserved = state.isObserving
        let own = settings.operatorRules, listed = state.evaluator.operatorRules.dropFirst(own.count)
        var layers = [
            EffectivePolicy.Layer(
                kind: .guardrails, origin: .sallyport, isEnforced: settings.judgesAddresses,
                text: Self.guardrails, rules: settings.alwaysDeny.map { Rule(action: .deny, target: .address($0)) })
        ]
        func add(_ kind: EffectivePolicy.Layer.Kind, _ text: String, _ rules: [Rule]) {
            guard !rules.isEmpty else { return }
            layers.append(
                EffectivePolicy.Layer(
                    kind: kind, origin: .operator, isEnforced: kind != .blockDoT || settings.judgesAddresses,
                    text: text, rules: rules))
        }
        add(.blockDoT, "DNS over TLS and QUIC, to every address", own.filter { $0.isOfDoT })
        add(.blockDoH, "DNS over HTTPS: these names, and port 443 of these addresses", own.filter { !$0.isOfDoT })
        add(.denyAlways, "denied whatever a policy says", listed.filter { $0.action == .deny })
        add(.allowAlways, "allowed whatever a policy says", listed.filter { $0.action == .allow })
        let origin: EffectivePolicy.Origin = policy.isDefault ? .operator : .client
        layers.append(
            EffectivePolicy.Layer(
                kind: .policy, origin: origin, isEnforced: !isObserved,
                text: policy.isDefault
                    ? "the operator's default for sandboxes that are created without a policy"
                    : "as the create or a later change has it", rules: policy.rules))
        layers.append(
            EffectivePolicy.Layer(
                kind: .standard, origin: origin, isEnforced: !isObserved, text: "everything else",
                action: policy.defaultAction))
        layers.append(
            EffectivePolicy.Layer(
                kind: .budgets, origin: .operator, text: "what may be used of all that; 0 is no limit",
                budgets: settings.budgets.limits))
        return EffectivePolicy(
            layers: layers, isEnforced: !isObserved, enforcementMode: enforcementMode ?? status.enforcementMode,
            hasStaleLists: lists.map(isBehind) ?? false)
    }

    private static let guardrails =
        "link-local addresses and metadata services, which no policy opens, also inside IPv6 addresses; "
        + "names have private addresses only in internal zones or by an address rule"
}

extension Rule {
    /// Whether it is the one that `ResolverBlock.overTLS` stands for.
    fileprivate var isOfDoT: Bool { target == .anyAddress && scope.ports == [853...853] }
}

extension EgressBudgets {
    /// By the names of the settings.
    fileprivate var limits: [(name: String, limit: Int)] {
        [
            ("queries_per_second", queriesPerSecond), ("distinct_names_per_hour", distinctNamesPerHour),
            ("wildcard_bytes_per_minute", wildcardBytesPerMinute), ("wildcard_burst_bytes", wildcardBurst),
            ("connections_per_second", connectionsPerSecond), ("connections", connections), ("bytes_out", bytesOut),
        ]
    }
}
