import Addresses

/// What a `target` text says: names or addresses, and ports and protocol. It can express all of a rule, because the
/// contract's clients know only `action` and `target` and drop other fields.
///
///     target   = [protocol "://"] place [":" ports ["/" protocol]]
///     place    = "*" | name | "*." name | address | block | "[" IPv6 address or block "]"
///     ports    = range *("," range)
///     range    = number ["-" number]
///     protocol = "tcp" | "udp" | "icmp" | "any"
///
/// A protocol is given on one side only. IPv6 needs brackets if ports follow, since the port would read as one more
/// group of the address. `preset:` and a name stands for a preset's rules.
public struct RuleTarget: Hashable, Sendable, CustomStringConvertible {
    public var target: Target
    /// Unstated if the text has neither ports nor protocol.
    public var scope: TrafficScope

    public init(_ target: Target, _ scope: TrafficScope = .unstated) {
        self.target = target
        self.scope = scope
    }

    /// - Throws: `PolicyError.invalidTarget`.
    public init(_ text: String) throws(PolicyError) {
        guard Self.preset(text) == nil else {
            throw .invalidTarget(text, reason: "a preset is a list of rules, not a single target")
        }
        guard text != RuleDocument.observed else {
            throw .invalidTarget(
                text, reason: "a mode is for the whole policy: replace the policy (PUT) to change it")
        }
        let parts = try Parts(text)
        target = try parts.target(of: text)
        do throws(TrafficScopeError) {
            scope = try TrafficScope(transport: parts.transport(), ports: parts.portRanges())
        } catch {
            throw .invalidTarget(text, reason: "\(error)")
        }
    }

    private static let presetMark = "preset:"

    /// The name of the preset, for a text that names one.
    static func preset(_ text: String) -> String? {
        text.hasPrefix(presetMark) ? String(text.dropFirst(presetMark.count)) : nil
    }

    static func text(ofPreset name: String) -> String { presetMark + name }

    /// The text for this target.
    public var description: String {
        guard !scope.ports.isEmpty else { return (scope.transport.map { "\($0.rawValue)://" } ?? "") + "\(target)" }
        var place = "\(target)"
        if place.contains(":") { place = "[\(place)]" }
        // A host called `preset`: the final dot keeps it from being read as the mark of a preset.
        if "\(place):" == Self.presetMark { place += "." }
        let ports = scope.ports.map { TrafficScope.text($0) }.joined(separator: ",")
        return "\(place):\(ports)" + (scope.transport.map { "/\($0.rawValue)" } ?? "")
    }
}

/// A target text, split into its parts.
private struct Parts {
    var place: Substring
    var isBracketed = false
    var protocolBefore: Substring?
    var ports: Substring?
    var protocolBehind: Substring?

    init(_ text: String) throws(PolicyError) {
        var rest = Substring(text)
        if let slashes = text.utf8.indices.first(where: { text.utf8[$0...].starts(with: "://".utf8) }) {
            protocolBefore = text[..<slashes]
            rest = text[text.utf8.index(slashes, offsetBy: 3)...]
            if let advice = TargetAdvice.url(scheme: text[..<slashes], rest: rest) {
                throw .invalidTarget(text, reason: advice)
            }
        }
        if rest.utf8.first == UInt8(ascii: "[") {
            guard let end = rest.utf8.firstIndex(of: UInt8(ascii: "]")) else {
                throw .invalidTarget(text, reason: "a bracket is not closed")
            }
            isBracketed = true
            place = rest[rest.utf8.index(after: rest.startIndex)..<end]
            rest = rest[rest.utf8.index(after: end)...]
            guard rest.isEmpty || rest.utf8.first == UInt8(ascii: ":") else {
                throw .invalidTarget(text, reason: "a bracket is followed by a colon and ports, or by nothing")
            }
            ports = rest.isEmpty ? nil : rest.dropFirst()
        } else {
            let colons = rest.utf8.indices.filter { rest.utf8[$0] == UInt8(ascii: ":") }
            // Several colons without brackets can only be an IPv6 address.
            place = colons.count == 1 ? rest[..<colons[0]] : rest
            ports = colons.count == 1 ? rest[rest.utf8.index(after: colons[0])...] : nil
        }
        if let all = ports, let slash = all.utf8.firstIndex(of: UInt8(ascii: "/")) {
            ports = all[..<slash]
            protocolBehind = all[all.utf8.index(after: slash)...]
        }
        guard protocolBefore == nil || protocolBehind == nil else {
            throw .invalidTarget(text, reason: "it names a protocol twice")
        }
    }

    func target(of text: String) throws(PolicyError) -> Target {
        guard !isBracketed || CIDRBlock(place).map({ !$0.base.isIPv4 }) ?? false else {
            throw .invalidTarget(text, reason: "only an IPv6 address or block may be in brackets")
        }
        if place == "*" { return .anyAddress }
        do throws(PolicyError) {
            return try Target(String(place))
        } catch {
            guard case .invalidTarget(_, let reason) = error else { throw error }
            throw .invalidTarget(text, reason: reason)
        }
    }

    func transport() throws(TrafficScopeError) -> TrafficScope.Transport? {
        guard let name = protocolBefore ?? protocolBehind else { return nil }
        guard let transport = TrafficScope.Transport(rawValue: String(name)) else {
            throw .unknownProtocol(String(name))
        }
        return transport
    }

    func portRanges() throws(TrafficScopeError) -> [ClosedRange<UInt16>] {
        guard let ports else { return [] }
        var ranges: [ClosedRange<UInt16>] = []
        for text in ports.split(separator: ",", omittingEmptySubsequences: false) {
            ranges.append(try TrafficScope.range(text))
        }
        return ranges
    }
}
