import Addresses
import FoundationEssentials

@testable import NetworkPolicy

/// Names and policies, as people and programs write them.
enum PolicyFuzz {
    /// A name has one canonical form, which means itself.
    static func name(_ bytes: UnsafeRawBufferPointer) {
        if let name = try? DomainName(wire: bytes) {
            promise(name.wire.count <= 255, "the name is too long")
            promise((try? DomainName(wire: name.wire)) == name, "the wire form means another name")
        }
        guard let text = String(validating: bytes, as: UTF8.self), let name = try? DomainName(text) else { return }
        promise((try? DomainName(name.description)) == name, "\(name) means another name than \(text)")
        promise((try? DomainName(wire: name.wire)) == name, "the wire form of \(text) means another name")
        promise(IPAddress(name.description) == nil, "\(text) is an address")
        var ancestor = name.parent
        while let zone = ancestor {
            promise(name.isSubdomain(of: zone) && !zone.isSubdomain(of: name), "\(name) is not below \(zone)")
            ancestor = zone.parent
        }
    }

    /// A target's text has one meaning, whether it stands in a rule or names rules; the text of the meaning means the same.
    static func target(_ bytes: UnsafeRawBufferPointer) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return }
        if let selector = try? RuleSelector(text) {
            promise((try? RuleSelector(selector.description)) == selector, "\(selector) names other rules than \(text)")
        }
        guard let target = try? RuleTarget(text) else {
            promise((try? Rule(action: .allow, text: text)) == nil, "\(text) is no target, but a rule")
            return
        }
        promise(RuleTarget.preset(text) == nil, "\(text) is a preset and a target")
        promise((try? RuleTarget(target.description)) == target, "\(target) means something else than \(text)")
        let rule = try? Rule(action: .deny, text: text)
        promise((rule == nil) == (target == RuleTarget(.anyAddress)), "\(text) is a target, but no rule")
        guard let rule, let selector = try? RuleSelector(text) else { return }
        promise(rule.target == target.target && rule.scope == target.scope, "a rule of \(text) means something else")
        promise(Policy.denyAll.merging([rule]).removing([selector]).removed == 1, "its own text does not name \(rule)")
    }

    /// What another reader of JSON sees of a policy.
    private struct OtherReading: Decodable {
        struct Rule: Decodable {
            var action: String?
            var target: String?
        }
        var defaultAction: String?
        var egress: [Rule]?
    }

    /// A policy that was read and written means what it meant, and another reader of the same bytes sees the same.
    static func policy(_ bytes: UnsafeRawBufferPointer) {
        guard let policy = try? Policy.decode(json: bytes) else { return }
        guard let again = try? Policy.decode(json: policy.encodedJSON()) else {
            fatalError("a policy that was written cannot be read")
        }
        promise(again == policy, "a policy that was written is another one")
        let kept = try? Policy.decode(json: policy.encodedJSON(.record), form: .record)
        promise(kept == policy, "a policy that was kept is another one")
        if bytes.contains(where: { !" \t\r\n".utf8.contains($0) }) { compare(policy, with: bytes) }
        _ = PolicyEvaluator(policy)
    }

    private static func compare(_ policy: Policy, with bytes: UnsafeRawBufferPointer) {
        // In a list, so that `null` is something.
        let list = Data("[".utf8) + Data(bytes) + Data("]".utf8)
        let found = (try? JSONDecoder().decode([OtherReading?].self, from: list)) ?? []
        promise(found.count == 1, "another reader sees no policy, or more")
        promise(
            found[0]?.defaultAction ?? "deny" == policy.defaultAction.rawValue, "another reader sees another default")
        let rules = (found[0]?.egress ?? []).map { "\($0.action ?? "") \($0.target ?? "")" }
        let own = policy.rules.map { "\($0.action.rawValue) \($0.form == .anywhere ? "" : $0.text)" }
        promise(rules.count == own.count, "another reader sees more rules, or fewer")
        for (rule, own) in zip(rules, own) where !own.hasSuffix(" ") {
            promise(rule == own, "another reader sees other rules")
        }
    }

    static func rules(_ bytes: UnsafeRawBufferPointer) {
        if let rules = try? Policy.decodeRules(json: bytes) {
            promise(!rules.isEmpty, "a change of nothing")
            promise((try? Policy.decodeRules(json: Policy.encodeRules(rules))) == rules, "the rules are other ones")
            let changed = Policy.denyAll.merging(rules)
            promise(changed.merging(rules) == changed, "the same change twice is another one")
        }
        if let targets = try? Policy.decodeTargets(json: bytes) { promise(!targets.isEmpty, "a change of nothing") }
    }
}
