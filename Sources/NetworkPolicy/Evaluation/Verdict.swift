/// Whether a name or address is allowed, and why.
public struct Verdict: Hashable, Sendable, CustomStringConvertible {
    public enum Reason: Hashable, Sendable {
        /// The rule at this position of the policy.
        case rule(Int, Rule)
        /// This rule of the operator, which no policy changes.
        case operatorRule(Rule)
        /// No rule matched.
        case defaultAction
        /// Refused whatever the policy says.
        case guardrail(String)
        /// The policy allows it, but a budget is used up. A later verdict may differ.
        case budget(String)
    }

    public var action: Action
    public var reason: Reason

    public init(action: Action, reason: Reason) {
        self.action = action
        self.reason = reason
    }

    public var isAllowed: Bool { action == .allow }

    /// Whether the verdict may change without a change of policy.
    public var isTemporary: Bool {
        if case .budget = reason { return true }
        return false
    }

    public var description: String {
        var text: [UInt8] = []
        write(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Appends the description as UTF-8, without making a string of each part.
    public func write(to text: inout [UInt8]) {
        text += (isAllowed ? "allowed" : "denied").utf8
        switch reason {
        case .rule(_, let rule):
            text += " by rule ".utf8
            rule.write(to: &text)
        case .operatorRule(let rule):
            text += ": the operator's rule ".utf8
            rule.write(to: &text)
        case .defaultAction: text += " by default".utf8
        case .guardrail(let words), .budget(let words):
            text += ": ".utf8
            text += words.utf8
        }
    }
}
