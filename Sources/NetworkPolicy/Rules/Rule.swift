import Addresses

/// What a rule or a policy does with what it matches.
public enum Action: String, Hashable, Sendable, Codable {
    case allow, deny
}

/// What a rule matches.
public enum Target: Hashable, Sendable, CustomStringConvertible {
    /// One name, exactly.
    case name(DomainName)
    /// Every name below this one, without the name itself.
    case wildcard(DomainName)
    /// One address or a block.
    case address(CIDRBlock)
    /// Every address of both families. It does not match names: other rules decide which may be asked for.
    case anyAddress

    /// Reads `example.com`, `*.example.com`, `198.51.100.7`, `2001:db8::/32`. For texts with ports or a protocol see
    /// `RuleTarget`.
    public init(_ text: String) throws(PolicyError) {
        if text.contains("/") || IPAddress(text) != nil {
            guard let block = CIDRBlock(text) else { throw .invalidTarget(text, reason: TargetAdvice.block(text)) }
            // The kernel sends to these as IPv4, so a rule for them would never match, not even a denial.
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

    /// Its blocks of addresses; none for a name.
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
    /// How a rule was written, so that answers can use the same form.
    indirect enum Form: Hashable, Sendable {
        /// Ports and protocol in their own fields, or not given.
        case fields
        /// Everything in the target's text.
        case text
        /// No target given: any address.
        case anywhere
        /// One of a preset's rules.
        case preset(PresetPlace)
    }

    public var action: Action
    public var target: Target
    /// The target as it was written, for answers.
    public let text: String
    public var scope: TrafficScope
    let form: Form

    public init(action: Action, target: Target, scope: TrafficScope = .unstated) {
        self.init(action: action, target: target, scope: scope, text: "\(target)", form: .fields)
    }

    /// - Parameter scope: ports and protocol given in fields. The text must not have any, except for the target `*`,
    ///   where both must agree.
    /// - Throws: `PolicyError.invalidTarget`.
    public init(action: Action, text: String, scope: TrafficScope = .unstated) throws(PolicyError) {
        let said = try RuleTarget(text)
        var form = said.scope.isUnstated ? Form.fields : .text
        if form == .text, !scope.isUnstated {
            // A client may send back our answer for a rule without a target, which has both.
            guard said.target == .anyAddress, said.scope.identity == scope.identity else {
                throw .invalidTarget(text, reason: "give ports and protocol in the target or in fields, not in both")
            }
            form = .anywhere
        }
        let scope = scope.isUnstated ? said.scope : scope
        if said.target == .anyAddress, scope.isUnstated { throw .invalidTarget(text, reason: Self.tooMuch) }
        self.init(action: action, target: said.target, scope: scope, text: form == .anywhere ? "*" : text, form: form)
    }

    /// A rule for any address.
    /// - Throws: `PolicyError.invalidTarget` if it states neither ports nor a protocol.
    init(action: Action, anywhere scope: TrafficScope) throws(PolicyError) {
        guard !scope.isUnstated else { throw .invalidTarget("", reason: Self.tooMuch) }
        self.init(action: action, target: .anyAddress, scope: scope, text: "*", form: .anywhere)
    }

    private init(action: Action, target: Target, scope: TrafficScope, text: String, form: Form) {
        (self.action, self.target, self.scope, self.text, self.form) = (action, target, scope, text, form)
    }

    private static let tooMuch =
        "any address needs ports or a protocol, as in \"*:25\"; for everything there is defaultAction"

    /// The rule, marked as one of a preset's.
    func placed(_ place: PresetPlace) -> Rule {
        Rule(action: action, target: target, scope: scope, text: "\(target)", form: .preset(place))
    }

    /// The preset that it comes from; nil for none.
    var preset: PresetPlace? { if case .preset(let place) = form { place } else { nil } }

    /// `allow pypi.org tcp 443`
    public var description: String { "\(action.rawValue) \(text)\(form == .text ? "" : scope.text)" }

    /// Appends the description as UTF-8.
    func write(to bytes: inout [UInt8]) {
        bytes += action.rawValue.utf8
        bytes.append(UInt8(ascii: " "))
        bytes += text.utf8
        if !scope.isUnstated, form != .text { bytes += scope.text.utf8 }
    }

    /// `value` for the traffic that the rule matches. Without ports and protocol, a denial matches everything; an allow
    /// rule matches TCP and UDP, and ICMP as well if the target is an address.
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
    case invalidPresetName(String)

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
        case .invalidPresetName(let name):
            "\"\(name.prefix(64))\" is not a preset name: use lower-case letters, digits and hyphens, at most 63"
        case .deniedPreset(let rule): "rule \(rule): a preset can only allow: to deny, list the targets"
        }
    }
}
