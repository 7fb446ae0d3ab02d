import JSON
import NetworkPolicy

/// The policy in force for a sandbox, as the policy API reports it (docs/wire.md#policy).
package struct PolicyStatus: Hashable, Sendable {
    /// How the rules are enforced: names by the DNS filter, addresses by nf_tables.
    package static let enforcementMode = "dns+nft"
    /// The reason given when a removal matched no rule.
    package static let nothingRemoved = "no matching targets found"
    /// The reason given while a sandbox is observed.
    static let nothingEnforced = "the sandbox is observed: nothing of its policy is enforced"

    package var policy: Policy
    /// Extra context for the reader, or `nil`.
    package var reason: String?

    /// Differs for a sidecar that filters names only.
    package var enforcementMode: String

    package init(policy: Policy, reason: String? = nil, enforcementMode: String = PolicyStatus.enforcementMode) {
        self.policy = policy
        let isTold = reason?.hasSuffix(Self.nothingEnforced) ?? false
        let observed = policy.mode == .observe && !isTold ? Self.nothingEnforced : nil
        let reasons = [reason, observed].compactMap(\.self)
        self.reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
        self.enforcementMode = enforcementMode
    }

    /// `allow_all` or `deny_all` for a policy without rules, else `enforcing` or `observing`.
    package var mode: String {
        guard policy.mode == .enforce else { return "observing" }
        guard policy.ruleCount == 0 else { return "enforcing" }
        return policy.defaultAction == .allow ? "allow_all" : "deny_all"
    }

    /// The contract's PolicyStatusResponse; `policy` is always present.
    package func encodedJSON(_ form: PolicyForm = .contract) -> [UInt8] {
        var text = "{\"status\":\"ok\",\"mode\":\"\(mode)\",\"enforcementMode\":\"\(enforcementMode)\""
        if let reason { text += ",\"reason\":" + JSONText.quoted(reason) }
        return Array(text.utf8) + Array(",\"policy\":".utf8) + policy.encodedJSON(form) + Array("}".utf8)
    }

    /// Reads what another guard answers.
    /// - Throws: `EgressError.remote`.
    package init(decoding body: [UInt8], form: PolicyForm, presets: Presets = .none) throws(EgressError) {
        guard let document = try? JSONValue(body), case .object(let fields) = document,
            let form = fields["policy"].flatMap({ try? Policy.decode($0, presets: presets, form: form) })
        else { throw .remote("its answer is not a policy status") }
        func text(_ field: String) -> String? { if case .string(let text) = fields[field] { text } else { nil } }
        self.init(
            policy: form, reason: text("reason"), enforcementMode: text("enforcementMode") ?? Self.enforcementMode)
    }
}
