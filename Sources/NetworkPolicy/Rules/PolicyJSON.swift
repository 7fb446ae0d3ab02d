import FoundationEssentials

// The contract's JSON: {"defaultAction":"deny","egress":[{"action":"allow","target":"pypi.org"}]}.

private struct PolicyDocument: Decodable {
    var defaultAction: String?
    var egress: [RuleDocument]?
    var mode: String?
}

extension Policy {
    /// Reads a policy. An empty body, `null` and `{}` deny everything; a missing `defaultAction` denies.
    /// - Parameter presets: where `{"preset":"pypi"}` rules are looked up.
    public static func decode(
        json: some Collection<UInt8>, presets: Presets = .none
    ) throws(PolicyError) -> Policy {
        guard json.contains(where: { !" \t\r\n".utf8.contains($0) }) else { return .denyAll }
        guard let document = try parse(PolicyDocument?.self, json, expected: "an object with defaultAction and egress")
        else { return .denyAll }
        var policy = Policy.denyAll
        if let text = document.defaultAction {
            guard let action = Action(rawValue: text) else { throw .unknownDefaultAction(text) }
            policy.defaultAction = action
        }
        if let text = document.mode {
            guard let mode = Mode(rawValue: text) else { throw .unknownMode(text) }
            policy.mode = mode
        }
        policy.rules = try rules(document.egress ?? [], presets)
        return policy
    }

    /// Reads the body of PATCH /policy: a list of at least one rule.
    public static func decodeRules(
        json: some Collection<UInt8>, presets: Presets = .none
    ) throws(PolicyError) -> [Rule] {
        let documents = try parse([RuleDocument].self, json, expected: "a list of rules with action and target")
        guard !documents.isEmpty else { throw .emptyChange }
        return try rules(documents, presets)
    }

    /// Reads the body of DELETE /policy: a list of at least one target.
    public static func decodeTargets(json: some Collection<UInt8>) throws(PolicyError) -> [Target] {
        let texts = try parse([String].self, json, expected: "a list of targets")
        guard !texts.isEmpty else { throw .emptyChange }
        var targets: [Target] = []
        for text in texts { targets.append(try Target(text)) }
        return targets
    }

    private static func rules(_ documents: [RuleDocument], _ presets: Presets) throws(PolicyError) -> [Rule] {
        var rules: [Rule] = []
        for (index, document) in documents.enumerated() {
            if let preset = document.preset {
                rules += try presets.rules(named: preset)
                continue
            }
            guard let actionText = document.action, let target = document.target else {
                throw .wrongShape("rule \(index): action and target are required")
            }
            guard let action = Action(rawValue: actionText) else { throw .unknownAction(actionText, rule: index) }
            let scope = try TrafficScope(ports: document.ports, protocol: document.protocol, rule: index)
            rules.append(try Rule(action: action, text: target, scope: scope))
        }
        return rules
    }

    private static func parse<Value: Decodable>(
        _ type: Value.Type, _ json: some Collection<UInt8>, expected: String
    ) throws(PolicyError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(json))
        } catch DecodingError.dataCorrupted(let context) {
            throw .notJSON(context.debugDescription)
        } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
            throw .wrongShape("expected \(expected)" + (path.isEmpty ? "" : "; the mistake is at \(path)"))
        } catch {
            throw .wrongShape("expected \(expected)")
        }
    }
}
