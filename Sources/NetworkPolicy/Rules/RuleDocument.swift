/// A rule as it stands in JSON: {"action":"allow","target":"pypi.org","ports":[443,"8000-8100"],"protocol":"tcp"}, or
/// {"preset":"pypi"} and nothing else.
enum RuleDocument {
    private static let fields = ["action", "target", "ports", "protocol", "preset"]

    static func rules(
        _ entries: [StrictJSON], _ presets: Presets, expected: String
    ) throws(PolicyError) -> [Rule] {
        var rules: [Rule] = []
        rules.reserveCapacity(entries.count)
        for (index, entry) in entries.enumerated() {
            let fields = try StrictJSONFields(entry, known: Self.fields, expected: expected, at: "rule \(index)")
            if let preset = try fields.string("preset", expected: expected, at: "rule \(index)") {
                // Whoever denies a preset, or some of its ports, must not be given all of it.
                guard Self.fields.allSatisfy({ $0 == "preset" || fields[$0] == nil }) else {
                    throw .wrongShape("rule \(index): a preset stands alone: it has rules of its own")
                }
                rules += try presets.rules(named: preset)
                continue
            }
            let action = try fields.string("action", expected: expected, at: "rule \(index)")
            let target = try fields.string("target", expected: expected, at: "rule \(index)")
            guard let action, let target else { throw .wrongShape("rule \(index): action and target are required") }
            guard let known = Action(rawValue: action) else { throw .unknownAction(action, rule: index) }
            rules.append(try Rule(action: known, text: target, scope: TrafficScope(fields, rule: index)))
        }
        return rules
    }
}

extension TrafficScope {
    /// Of the fields `ports` and `protocol`.
    /// - Parameter index: the rule's position, for the error.
    init(_ fields: StrictJSONFields, rule index: Int) throws(PolicyError) {
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

    /// A port as a number, or a port or a range as a text.
    private static func range(_ json: StrictJSON) throws(TrafficScopeError) -> ClosedRange<UInt16> {
        switch json {
        case .integer(let number): try range("\(number)")
        case .string(let text): try range(text)
        default: throw .notAPort
        }
    }
}
