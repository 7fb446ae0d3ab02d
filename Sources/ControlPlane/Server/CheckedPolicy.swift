import Addresses
import Egress
import NetworkPolicy

/// A policy that is read without a server, with the presets of one.
package struct CheckedPolicy: Sendable {
    private let evaluator: PolicyEvaluator
    private let protected = ProtectedAddresses()

    /// - Throws: `PolicyError` for what a create or a change would refuse.
    package init(_ json: [UInt8], _ settings: Settings) throws {
        let presets = Presets(try Installation.current.presetFiles(settings.egress))
        evaluator = PolicyEvaluator(try Policy.decode(json: json, presets: presets))
    }

    /// What it does, a rule on each line, in the order in which they decide.
    package var summary: String {
        let policy = evaluator.policy
        let mode = policy.mode == .enforce ? "" : "mode \(policy.mode.rawValue): nothing is enforced\n"
        return mode + policy.rules.map { "\($0)\n" }.joined() + "\(policy.defaultAction.rawValue) everything else\n"
    }

    /// The verdict on a name or an address, written as a rule's target is. What a name's addresses are is not known here.
    package func verdict(on text: String) throws(PolicyError) -> (isAllowed: Bool, text: String) {
        let asked = try RuleTarget(text)
        let verdict: Verdict
        switch asked.target {
        case .name(let name): verdict = evaluator.evaluate(name, asked.scope)
        case .address(let block) where block.prefixLength == block.base.bitWidth && protected.contains(block.base):
            verdict = ProtectedAddresses.verdict
        case .address(let block) where block.prefixLength == block.base.bitWidth:
            verdict = evaluator.evaluate(block.base, asked.scope)
        default: throw .invalidTarget(text, reason: "ask for one name or one address")
        }
        return (verdict.isAllowed, "\(text): \(verdict)")
    }
}
