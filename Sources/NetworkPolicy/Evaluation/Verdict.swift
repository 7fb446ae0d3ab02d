/// What the policy says of one name or address, and why.
public struct Verdict: Hashable, Sendable, CustomStringConvertible {
    public enum Reason: Hashable, Sendable {
        /// The rule at this position of the policy.
        case rule(Int, Rule)
        /// No rule matched.
        case defaultAction
        /// Refused whatever the policy says.
        case guardrail(String)
        /// Allowed, but a budget is used up: later it may be another verdict.
        case budget(String)
    }

    public var action: Action
    public var reason: Reason

    public init(action: Action, reason: Reason) {
        self.action = action
        self.reason = reason
    }

    public var isAllowed: Bool { action == .allow }

    /// Whether the same question may have another answer soon, with the policy as it is.
    public var isTemporary: Bool {
        if case .budget = reason { return true }
        return false
    }

    public var description: String {
        var text: [UInt8] = []
        write(to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// Adds the description to a text in UTF-8, which is spared strings of its parts.
    public func write(to text: inout [UInt8]) {
        text += (isAllowed ? "allowed" : "denied").utf8
        switch reason {
        case .rule(_, let rule):
            text += " by rule ".utf8
            rule.write(to: &text)
        case .defaultAction: text += " by default".utf8
        case .guardrail(let words), .budget(let words):
            text += ": ".utf8
            text += words.utf8
        }
    }
}
