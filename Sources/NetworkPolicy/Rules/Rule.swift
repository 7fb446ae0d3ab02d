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

    /// Reads `example.com`, `*.example.com`, `198.51.100.7`, `2001:db8::/32`.
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
        }
    }
}

/// One line of a policy.
public struct Rule: Hashable, Sendable, CustomStringConvertible {
    public var action: Action
    public var target: Target
    /// The target as its writer put it; answers give it back that way.
    public let text: String
    public var scope: TrafficScope

    public init(action: Action, target: Target, scope: TrafficScope = .unstated) {
        self.action = action
        self.target = target
        self.scope = scope
        text = "\(target)"
    }

    /// - Throws: `PolicyError.invalidTarget`.
    public init(action: Action, text: String, scope: TrafficScope = .unstated) throws(PolicyError) {
        self.action = action
        self.target = try Target(text)
        self.scope = scope
        self.text = text
    }

    /// `allow pypi.org tcp 443`
    public var description: String { "\(action.rawValue) \(text)\(scope.text)" }

    /// Adds the description to a text in UTF-8.
    func write(to bytes: inout [UInt8]) {
        bytes += action.rawValue.utf8
        bytes.append(UInt8(ascii: " "))
        bytes += text.utf8
        if !scope.isUnstated { bytes += scope.text.utf8 }
    }

    /// The traffic that the rule is about, each with `value`. Where a rule states nothing, to deny means everything; to
    /// allow means TCP and UDP, and ICMP where the target is an address.
    func coverage<Value>(_ value: Value) -> TrafficMap<Value> {
        if action == .deny { return scope.map(value, unstated: [.any]) }
        if case .address = target { return scope.map(value, unstated: [.tcp, .udp, .icmp]) }
        return scope.map(value, unstated: [.tcp, .udp])
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
        }
    }
}
