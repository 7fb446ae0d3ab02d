import JSON

// The contract's JSON: {"defaultAction":"deny","egress":[{"action":"allow","target":"pypi.org"}]}. It knows no other fields
// (`additionalProperties: false`).

/// Which of the two JSON forms of a policy is meant.
public enum PolicyForm: Sendable {
    /// The clients' form: a preset is given by name.
    case contract
    /// The stored form: a preset's rules are written out, each with its place in the preset, because the preset's file
    /// may have changed by the time they are read again.
    case record
    /// Another guard, which may have other presets: a preset's rules stand there as rules like any others.
    case plain
}

extension Policy {
    private static let expectedPolicy = "an object with defaultAction and egress"
    /// In the stored form alone: no client may say it.
    static let isDefaultField = "isDefault"
    /// What a suggestion says besides its policy. It may be sent along: a suggestion is applied as it is.
    private static let remarks = ["existing", "unused", "incomplete", "enforced"]
    private static let expectedRules = "a list of rules with action and target"

    /// Reads a policy. An empty body, `null` and `{}` deny everything; a missing `defaultAction` denies.
    /// - Parameter presets: where `{"preset":"pypi"}` rules are looked up.
    public static func decode(
        json: some Collection<UInt8>, presets: Presets = .none, form: PolicyForm = .contract
    ) throws(PolicyError) -> Policy {
        guard json.contains(where: { !" \t\r\n".utf8.contains($0) }) else { return .denyAll }
        return try decode(JSONValue(policy: json), presets: presets, form: form)
    }

    /// The same, from a JSON value that has been parsed already.
    public static func decode(
        _ document: JSONValue, presets: Presets = .none, form: PolicyForm = .contract
    ) throws(PolicyError) -> Policy {
        if document.isNull { return .denyAll }
        let expected = expectedPolicy
        let known = ["defaultAction", "egress", "mode"] + (form == .record ? [isDefaultField] : [])
        let fields = try PolicyFields(
            document, known: known, beside: form == .record ? [] : remarks, expected: expected)
        var policy = Policy.denyAll
        if let text = try fields.string("defaultAction", expected: expected) {
            guard let action = Action(rawValue: text) else { throw .unknownDefaultAction(text) }
            policy.defaultAction = action
        }
        if let text = try fields.string("mode", expected: expected) {
            guard let mode = Mode(rawValue: text) else { throw .unknownMode(text) }
            policy.mode = mode
        }
        policy.isDefault = form == .record && fields[isDefaultField] == .boolean(true)
        let rules = RuleDocument(presets: presets, form: form, expected: expected)
        let entries = try fields.array("egress", expected: expected) ?? []
        if entries.contains(where: rules.saysObserved) {
            guard fields["mode"] == nil || policy.mode == .observe else {
                throw .wrongShape("mode is \"enforce\", and a rule says \"\(RuleDocument.observed)\": keep one of them")
            }
            policy.mode = .observe
        }
        policy.rules = try rules.rules(entries, ofPolicy: true)
        return policy
    }

    /// Reads the body of PATCH /policy: a list of at least one rule.
    public static func decodeRules(
        json: some Collection<UInt8>, presets: Presets = .none, form: PolicyForm = .contract
    ) throws(PolicyError) -> [Rule] {
        guard case .array(let entries) = try JSONValue(policy: json) else { throw .shape(expectedRules, at: "") }
        guard !entries.isEmpty else { throw .emptyChange }
        return try RuleDocument(presets: presets, form: form, expected: expectedRules).rules(entries)
    }

    /// Reads the body of DELETE /policy: a list of at least one target.
    public static func decodeTargets(json: some Collection<UInt8>) throws(PolicyError) -> [RuleSelector] {
        guard case .array(let entries) = try JSONValue(policy: json) else { throw .shape("a list of targets", at: "") }
        guard !entries.isEmpty else { throw .emptyChange }
        var targets: [RuleSelector] = []
        for (index, entry) in entries.enumerated() {
            guard case .string(let text) = entry else { throw .shape("a list of targets", at: "[\(index)]") }
            targets.append(try RuleSelector(text))
        }
        return targets
    }
}
