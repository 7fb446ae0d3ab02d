import JSON
import NetworkPolicy

/// What stands between a sandbox and some traffic, one thing after the other, each with what it says now. The verdict of an
/// explanation is the policy's alone; this tells the rest.
package struct PolicyPath: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
        /// What is looked at.
        package enum Kind: String, Hashable, Sendable {
            /// Whether the name may be asked for.
            case name
            /// By way of which names its last answers came to their addresses, and which rules speak of those.
            case aliases
            /// What the answer filter took out of its last answers.
            case answer
            /// What names have opened.
            case addresses
            /// The rules for this port and protocol.
            case traffic
            /// What a connection has to state, where that is checked.
            case check
            /// Whether a budget refuses.
            case budget
        }

        package var kind: Kind
        /// Nil where it decides nothing.
        package var action: Action?
        package var text: String

        init(_ kind: Kind, _ action: Action?, _ text: String) {
            (self.kind, self.action, self.text) = (kind, action, text)
        }
    }

    package var steps: [Step] = []
    /// What to do, or what is easily taken for something else.
    package var hints: [String] = []

    /// Without braces.
    var jsonFields: [String] {
        let steps = steps.map { step in
            var fields = ["\"step\":\"\(step.kind.rawValue)\""]
            if let action = step.action { fields.append("\"verdict\":\"\(action.rawValue)\"") }
            return "{" + (fields + ["\"text\":" + JSONText.quoted(step.text)]).joined(separator: ",") + "}"
        }
        let hints = hints.map { JSONText.quoted($0) }
        return ["\"path\":[" + steps.joined(separator: ",") + "]", "\"hints\":[" + hints.joined(separator: ",") + "]"]
    }
}
