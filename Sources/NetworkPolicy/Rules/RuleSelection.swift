/// Selects rules by a target text (DELETE /policy).
public enum RuleSelector: Hashable, Sendable, CustomStringConvertible {
    /// All rules of a target, whatever their ports.
    case target(Target)
    /// The rules of a target with exactly this traffic; for a text with ports or a protocol.
    case traffic(RuleTarget)
    /// The rules that come from a preset.
    case preset(String)

    /// - Throws: `PolicyError.invalidTarget`.
    public init(_ text: String) throws(PolicyError) {
        if let name = RuleTarget.preset(text) {
            self = .preset(name)
            return
        }
        let target = try RuleTarget(text)
        self = target.scope.isUnstated ? .target(target.target) : .traffic(target)
    }

    /// The text for this selector.
    public var description: String {
        switch self {
        case .target(let target): "\(target)"
        case .traffic(let target): "\(target)"
        case .preset(let name): RuleTarget.text(ofPreset: name)
        }
    }
}

extension Rule {
    /// What selects this rule in a removal, and maybe others with it.
    public var selector: RuleSelector {
        if let preset { return .preset(preset.name) }
        return scope.isUnstated ? .target(target) : .traffic(RuleTarget(target, scope))
    }
}

extension Policy {
    /// What selects only rules at these positions, each selector once, in the order of the rules.
    public func selectors(taking isTaken: (Int) -> Bool) -> [RuleSelector] {
        let rules = rules
        var byTarget: [Target: [Int]] = [:], byPreset: [String: [Int]] = [:]
        for (index, rule) in rules.enumerated() {
            byTarget[rule.target, default: []].append(index)
            if let preset = rule.preset { byPreset[preset.name, default: []].append(index) }
        }
        var seen: Set<RuleSelector> = []
        return rules.map(\.selector).filter { selector in
            guard seen.insert(selector).inserted else { return false }
            let selection = RuleSelection([selector])
            let candidates =
                switch selector {
                case .target(let target): byTarget[target] ?? []
                case .traffic(let traffic): byTarget[traffic.target] ?? []
                case .preset(let name): byPreset[name] ?? []
                }
            return candidates.allSatisfy { !selection.contains(rules[$0]) || isTaken($0) }
        }
    }
}

/// Two rules count as the same if their target, protocol and ports are, and the preset that they come from.
struct RuleIdentity: Hashable {
    var target: Target
    var traffic: TrafficMap<Bool>
    var preset: String?

    init(_ rule: Rule) {
        self.init(RuleTarget(rule.target, rule.scope))
        preset = rule.preset?.name
    }

    init(_ target: RuleTarget) {
        self.target = target.target
        traffic = target.scope.identity
    }
}

/// Everything that a change selects; tells for each rule whether it is included.
struct RuleSelection {
    private(set) var targets: Set<Target> = []
    private(set) var presets: Set<String> = []
    private var traffic: [Target: Set<TrafficMap<Bool>>] = [:]

    init(_ selectors: some Sequence<RuleSelector>) {
        for selector in selectors { add(selector) }
    }

    /// A patch replaces what its targets name: `pypi.org`, with or without a `ports` field, selects all rules of that
    /// name; `pypi.org:443` only those with this port, since in the contract a different text is a different target.
    init(patch: [Rule]) {
        for rule in patch {
            switch rule.form {
            case .fields: add(.target(rule.target))
            case .text, .anywhere: add(.traffic(RuleTarget(rule.target, rule.scope)))
            case .preset(let place):
                add(.target(rule.target))
                presets.insert(place.name)
            }
        }
    }

    /// Every target of which a rule may be selected, other than by preset.
    var places: Set<Target> { targets.union(traffic.keys) }

    private mutating func add(_ selector: RuleSelector) {
        switch selector {
        case .target(let target): targets.insert(target)
        case .traffic(let named): traffic[named.target, default: []].insert(named.scope.identity)
        case .preset(let name): presets.insert(name)
        }
    }

    func contains(_ rule: Rule) -> Bool {
        if targets.contains(rule.target) { return true }
        if !presets.isEmpty, let preset = rule.preset, presets.contains(preset.name) { return true }
        return traffic[rule.target]?.contains(rule.scope.identity) ?? false
    }
}
