import JSON

extension Policy {
    /// The policy as JSON, each rule in the form in which it was written. Encoded by hand, since a policy is written at
    /// every change and a general encoder takes a second for a hundred thousand rules.
    public func encodedJSON(_ form: PolicyForm = .contract) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(64 + 64 * ruleCount)
        text += "{\"defaultAction\":\"\(defaultAction.rawValue)\",\"egress\":".utf8
        let isToldByRule = form == .contract && mode == .observe
        Self.append(list.numbered.lazy.map(\.rule), to: &text, form, isObserved: isToldByRule)
        if isDefault, form == .record { text += ",\"\(Self.isDefaultField)\":true".utf8 }
        if mode != .enforce { text += ",\"mode\":\"\(mode.rawValue)\"".utf8 }
        text.append(UInt8(ascii: "}"))
        return text
    }

    /// Rules in the form of a PATCH body.
    public static func encodeRules(_ rules: [Rule], _ form: PolicyForm = .contract) -> [UInt8] {
        var text: [UInt8] = []
        append(rules, to: &text, form)
        return text
    }

    private static func append(
        _ rules: some Sequence<Rule>, to text: inout [UInt8], _ form: PolicyForm, isObserved: Bool = false
    ) {
        text.append(UInt8(ascii: "["))
        // Consecutive rules of one preset so far. A complete run is written as the preset's name.
        var run: [Rule] = []
        for rule in rules {
            guard form == .contract, let place = rule.preset else {
                append(each: &run, to: &text)
                append(rule, to: &text, form)
                continue
            }
            let follows = run.first?.preset.map { $0.continues(as: place) } ?? true
            if place.index != run.count || !follows { append(each: &run, to: &text) }
            guard place.index == run.count else {
                append(rule, to: &text, form)
                continue
            }
            run.append(rule)
            guard run.count == place.count else { continue }
            run.removeAll()
            append(preset: place, to: &text)
        }
        append(each: &run, to: &text)
        // At the end, so that every rule has the place that explanations tell.
        if isObserved {
            separate(&text)
            text += "{\"action\":\"allow\",\"target\":\"\(RuleDocument.observed)\"}".utf8
        }
        text.append(UInt8(ascii: "]"))
    }

    /// Writes the rules of an incomplete preset one by one.
    private static func append(each run: inout [Rule], to text: inout [UInt8]) {
        for rule in run { append(rule, to: &text, .contract) }
        run.removeAll()
    }

    private static func append(_ rule: Rule, to text: inout [UInt8], _ form: PolicyForm) {
        separate(&text)
        text += rule.action == .allow ? "{\"action\":\"allow\"".utf8 : "{\"action\":\"deny\"".utf8
        var target = rule.text
        switch rule.form {
        case .text: break
        case .fields: append(rule.scope, to: &text)
        case .anywhere:
            append(rule.scope, to: &text)
            // Every rule of the contract has a target, and clients fail on one without.
            target = "\(RuleTarget(rule.target, rule.scope))"
        case .preset(let place):
            if form == .record {
                text += ",\"\(PresetPlace.field)\":[".utf8
                JSONText.append(quoted: place.name, to: &text)
                text += ",\(place.index),\(place.count),\(place.isText)]".utf8
            }
            if form == .contract, place.isText {
                target = "\(RuleTarget(rule.target, rule.scope))"
            } else {
                append(rule.scope, to: &text)
            }
        }
        text += ",\"target\":".utf8
        JSONText.append(quoted: target, to: &text)
        text.append(UInt8(ascii: "}"))
    }

    private static func append(preset place: PresetPlace, to text: inout [UInt8]) {
        separate(&text)
        text += "{\"action\":\"allow\"".utf8
        if !place.isText {
            text += ",\"preset\":".utf8
            JSONText.append(quoted: place.name, to: &text)
        }
        text += ",\"target\":".utf8
        JSONText.append(quoted: RuleTarget.text(ofPreset: place.name), to: &text)
        text.append(UInt8(ascii: "}"))
    }

    private static func separate(_ text: inout [UInt8]) {
        if text.last != UInt8(ascii: "[") { text.append(UInt8(ascii: ",")) }
    }

    /// Fields that were not sent are not returned: older clients know only two.
    private static func append(_ scope: TrafficScope, to text: inout [UInt8]) {
        if !scope.ports.isEmpty {
            let ports = scope.ports.map { $0.count == 1 ? "\($0.lowerBound)" : "\"\(TrafficScope.text($0))\"" }
            text += ",\"ports\":[\(ports.joined(separator: ","))]".utf8
        }
        if let transport = scope.transport { text += ",\"protocol\":\"\(transport.rawValue)\"".utf8 }
    }
}
