import JSON

/// A rule in JSON: {"action":"allow","target":"pypi.org","ports":[443,"8000-8100"],"protocol":"tcp"}, the same in one
/// text, {"action":"allow","target":"pypi.org:443,8000-8100/tcp"}, {"preset":"pypi"} or
/// {"action":"allow","target":"preset:pypi"}.
struct RuleDocument {
    private static let contract = ["action", "target", "ports", "protocol", "preset"]

    let presets: Presets
    let form: PolicyForm
    /// A description of the expected list, for error messages.
    let expected: String

    /// - Parameter ofPolicy: whether these are all rules of a policy, among which its mode may stand.
    func rules(_ entries: [JSONValue], ofPolicy: Bool = false) throws(PolicyError) -> [Rule] {
        var rules: [Rule] = []
        rules.reserveCapacity(entries.count)
        for (index, entry) in entries.enumerated() where !ofPolicy || !saysObserved(entry) {
            let fields = try PolicyFields(
                entry, known: Self.contract + (form == .record ? [PresetPlace.field] : []), expected: expected,
                at: "rule \(index)")
            if let all = try preset(fields, rule: index) {
                rules += all
            } else {
                rules.append(try rule(fields, rule: index))
            }
        }
        return rules
    }

    /// The mode as a rule: the contract's clients show rules and the default action, and nothing else of an answer.
    static let observed = "mode:observe"

    /// Whether this stands for `"mode":"observe"`.
    func saysObserved(_ entry: JSONValue) -> Bool {
        guard form != .record, case .object(let object) = entry, object["target"] == .string(Self.observed) else {
            return false
        }
        return object.members.count == 2 && object["action"] == .string(Action.allow.rawValue)
    }

    private func rule(_ fields: PolicyFields, rule index: Int) throws(PolicyError) -> Rule {
        let action = try action(fields, rule: index)
        let target = try fields.string("target", expected: expected, at: "rule \(index)")
        let scope = try TrafficScope(fields, rule: index)
        guard let action, target != nil || !scope.isUnstated else {
            throw .wrongShape("rule \(index): action and target are required")
        }
        guard let target else { return try Rule(action: action, anywhere: scope) }
        let rule = try Rule(action: action, text: target, scope: scope)
        guard form == .record, let place = try PresetPlace(fields) else { return rule }
        return rule.placed(place)
    }

    /// The rules of the preset that the rule names; nil if it names none.
    private func preset(_ fields: PolicyFields, rule index: Int) throws(PolicyError) -> [Rule]? {
        let field = try fields.string("preset", expected: expected, at: "rule \(index)")
        let text = try fields.string("target", expected: expected, at: "rule \(index)")
        let named = text.flatMap { RuleTarget.preset($0) }
        guard let name = field ?? named else { return nil }
        let action = try action(fields, rule: index)
        // A denial of a preset, or of some ports of it, must not end up allowing all of it.
        guard action != .deny else { throw .deniedPreset(rule: index) }
        // Our answers have `action`, `target` and `preset`; a client may send all back, or only the two it knows.
        guard fields["ports"] == nil, fields["protocol"] == nil, field == nil || (text == nil) == (action == nil),
            field == nil || text == nil || field == named
        else { throw .wrongShape("rule \(index): a preset has its own rules and takes no other fields") }
        guard field != nil || action != nil else {
            throw .wrongShape("rule \(index): action and target are required")
        }
        return try presets.rules(standingFor: name, isText: field == nil)
    }

    private func action(_ fields: PolicyFields, rule index: Int) throws(PolicyError) -> Action? {
        guard let text = try fields.string("action", expected: expected, at: "rule \(index)") else { return nil }
        guard let action = Action(rawValue: text) else { throw .unknownAction(text, rule: index) }
        return action
    }
}

extension PresetPlace {
    static let field = "from"

    /// `"from":[name, index, count, isText]` of a record.
    init?(_ fields: PolicyFields) throws(PolicyError) {
        guard let parts = try fields.array(Self.field, expected: "a preset's place") else { return nil }
        guard parts.count == 4, case .string(let name) = parts[0], case .integer(let index) = parts[1],
            case .integer(let count) = parts[2], case .boolean(let isText) = parts[3], 0..<count ~= index
        else { throw .shape("a preset's place", at: Self.field) }
        self.init(name: name, index: index, count: count, isText: isText)
    }
}

extension TrafficScope {
    /// Reads the fields `ports` and `protocol`.
    /// - Parameter index: the rule's position, for error messages.
    init(_ fields: PolicyFields, rule index: Int) throws(PolicyError) {
        let ports = try fields.array("ports", expected: "a list of ports", at: "rule \(index)")
        let name = try fields.string("protocol", expected: "a protocol", at: "rule \(index)")
        do throws(TrafficScopeError) {
            if let ports, ports.isEmpty { throw .noPorts }
            var ranges: [ClosedRange<UInt16>] = []
            for port in ports ?? [] { ranges.append(try Self.range(port)) }
            var transport: Transport?
            if let name {
                transport = Transport(rawValue: name)
                if transport == nil { throw .unknownProtocol(name) }
            }
            try self.init(transport: transport, ports: ranges)
        } catch {
            throw .invalidTraffic(rule: index, error)
        }
    }

    /// A port as a number, or a port or range as a string.
    private static func range(_ json: JSONValue) throws(TrafficScopeError) -> ClosedRange<UInt16> {
        switch json {
        case .integer(let number): try range("\(number)")
        case .string(let text): try range(text)
        default: throw .notAPort
        }
    }
}
