/// What a rule or a policy does with what it matches.
public enum Action: String, Hashable, Sendable, Codable {
    case allow, deny
}

/// What a rule is about.
public enum Target: Hashable, Sendable, CustomStringConvertible {
    /// One name, exactly.
    case name(DomainName)
    /// Every name below this one; the name itself is not included.
    case wildcard(DomainName)
    /// One address or a block.
    case address(CIDRBlock)
    /// Every address of both families. Of names it says nothing: whether one may be asked for is others' to decide.
    case anyAddress

    /// Reads `example.com`, `*.example.com`, `198.51.100.7`, `2001:db8::/32`. What a rule's text may have beside it is
    /// `RuleTarget`'s.
    public init(_ text: String) throws(PolicyError) {
        if text.contains("/") || IPAddress(text) != nil {
            guard let block = CIDRBlock(text) else { throw .invalidTarget(text, reason: "not an address block") }
            // To these the kernel sends IPv4: a rule for them would match nothing, a denial, too.
            guard !CIDRBlock.mapped.contains(block.base) || block.prefixLength < CIDRBlock.mapped.prefixLength else {
                throw .invalidTarget(text, reason: "an IPv4-mapped address: write it as IPv4")
            }
            self = .address(block)
            return
        }
        do throws(DomainNameError) {
            self =
                text.hasPrefix("*.")
                ? .wildcard(try DomainName(String(text.dropFirst(2)))) : .name(try DomainName(text))
        } catch {
            throw .invalidTarget(text, reason: "\(error)")
        }
    }

    public var description: String {
        switch self {
        case .name(let name): "\(name)"
        case .wildcard(let name): "*.\(name)"
        case .address(let block): "\(block)"
        case .anyAddress: "*"
        }
    }

    /// The blocks that it is, of addresses.
    var blocks: [CIDRBlock] {
        switch self {
        case .name, .wildcard: []
        case .address(let block): [block]
        case .anyAddress: CIDRBlock.everything
        }
    }
}

/// One line of a policy.
public struct Rule: Hashable, Sendable, CustomStringConvertible {
    /// How a rule was written: answers have the same form.
    indirect enum Form: Hashable, Sendable {
        /// Ports and protocol in fields of their own, or none.
        case fields
        /// All in the target's text.
        case text
        /// Without a target: for any address.
        case anywhere
        /// One of the rules that a preset stood for.
        case preset(PresetPlace)
    }

    public var action: Action
    public var target: Target
    /// The target as its writer put it; answers give it back that way.
    public let text: String
    public var scope: TrafficScope
    let form: Form

    public init(action: Action, target: Target, scope: TrafficScope = .unstated) {
        self.init(action: action, target: target, scope: scope, text: "\(target)", form: .fields)
    }

    /// - Parameter scope: what stands beside the text, which says it itself or leaves it to this.
    /// - Throws: `PolicyError.invalidTarget`.
    public init(action: Action, text: String, scope: TrafficScope = .unstated) throws(PolicyError) {
        let said = try RuleTarget(text)
        var form = said.scope.isUnstated ? Form.fields : .text
        if form == .text, !scope.isUnstated {
            // An answer about a rule without a target is sent back.
            guard said.target == .anyAddress, said.scope.identity == scope.identity else {
                throw .invalidTarget(text, reason: "ports and protocol stand in it, or beside it, not both")
            }
            form = .anywhere
        }
        let scope = scope.isUnstated ? said.scope : scope
        if said.target == .anyAddress, scope.isUnstated { throw .invalidTarget(text, reason: Self.tooMuch) }
        self.init(action: action, target: said.target, scope: scope, text: form == .anywhere ? "*" : text, form: form)
    }

    /// A rule without a target.
    /// - Throws: `PolicyError.invalidTarget` where it states no ports and no protocol.
    init(action: Action, anywhere scope: TrafficScope) throws(PolicyError) {
        guard !scope.isUnstated else { throw .invalidTarget("", reason: Self.tooMuch) }
        self.init(action: action, target: .anyAddress, scope: scope, text: "*", form: .anywhere)
    }

    private init(action: Action, target: Target, scope: TrafficScope, text: String, form: Form) {
        (self.action, self.target, self.scope, self.text, self.form) = (action, target, scope, text, form)
    }

    private static let tooMuch =
        "any address needs ports or a protocol, as in \"*:25\"; for everything there is defaultAction"

    /// The rule as one of a preset's.
    func placed(_ place: PresetPlace) -> Rule {
        Rule(action: action, target: target, scope: scope, text: "\(target)", form: .preset(place))
    }

    /// Which preset stood for it.
    var preset: PresetPlace? { if case .preset(let place) = form { place } else { nil } }

    /// `allow pypi.org tcp 443`
    public var description: String { "\(action.rawValue) \(text)\(form == .text ? "" : scope.text)" }

    /// Adds the description to a text in UTF-8.
    func write(to bytes: inout [UInt8]) {
        bytes += action.rawValue.utf8
        bytes.append(UInt8(ascii: " "))
        bytes += text.utf8
        if !scope.isUnstated, form != .text { bytes += scope.text.utf8 }
    }

    /// The traffic that the rule is about, each with `value`. Where a rule states nothing, to deny means everything; to
    /// allow means TCP and UDP, and ICMP where the target is an address.
    func coverage<Value>(_ value: Value) -> TrafficMap<Value> {
        if action == .deny { return scope.map(value, unstated: [.any]) }
        switch target {
        case .address, .anyAddress: return scope.map(value, unstated: [.tcp, .udp, .icmp])
        case .name, .wildcard: return scope.map(value, unstated: [.tcp, .udp])
        }
    }
}

/// Why a policy, or a change to one, was refused. Nothing was changed.
public enum PolicyError: Error, Hashable, Sendable, CustomStringConvertible {
    case notJSON(String)
    case wrongShape(String)
    case unknownDefaultAction(String)
    case unknownMode(String)
    case unknownAction(String, rule: Int)
    case invalidTarget(String, reason: String)
    case invalidTraffic(rule: Int, TrafficScopeError)
    case emptyChange
    case unknownPreset(String)
    case deniedPreset(rule: Int)

    public var description: String {
        switch self {
        case .notJSON(let reason): "the body is not valid JSON: \(reason)"
        case .wrongShape(let reason): reason
        case .unknownDefaultAction(let value): "unknown defaultAction \"\(value)\": use \"allow\" or \"deny\""
        case .unknownMode(let value): "unknown mode \"\(value)\": use \"enforce\" or \"observe\""
        case .unknownAction(let value, let rule): "rule \(rule): unknown action \"\(value)\": use \"allow\" or \"deny\""
        case .invalidTarget(let target, let reason): "invalid target \"\(target)\": \(reason)"
        case .invalidTraffic(let rule, let reason): "rule \(rule): \(reason)"
        case .emptyChange: "the change is empty: send a list with at least one entry"
        case .unknownPreset(let name): "unknown preset \"\(name)\""
        case .deniedPreset(let rule): "rule \(rule): a preset only allows: deny by names what is to be denied"
        }
    }
}
