import JSON
import SafeText

/// What `GET …/networkpolicy/effective` answers, for people.
package enum EffectivePolicyText {
    /// What decides stands above what it decides for. Whatever is not understood is left out, so that a newer server's answer
    /// can be shown, too.
    package static func lines(_ answer: JSONValue) -> [String] {
        var lines: [String] = []
        if answer["enforced"] == .boolean(false) { lines.append("observed: nothing of the policy is enforced") }
        if answer["staleLists"] == .boolean(true) {
            lines.append(
                "the operator's lists have a mistake, so the previous ones stay in force: the guard's log says where it is"
            )
        }
        guard case .array(let layers)? = answer["layers"] else { return lines }
        for layer in layers {
            guard let name = text(layer["layer"]), let origin = text(layer["from"]) else { continue }
            let state = layer["enforced"] == .boolean(false) ? ", not enforced" : ""
            lines.append("\(name) (\(origin)\(state)): \(text(layer["text"]) ?? "")")
            if case .array(let rules)? = layer["rules"] { lines += rules.map { "  " + rule($0) } }
            if let action = text(layer["action"]) { lines.append("  \(action) everything") }
            if case .object(let budgets)? = layer["budgets"] {
                lines += budgets.members.map { "  \($0.name) \(value($0.value))" }
            }
        }
        return lines.map { ForeignText.escaped($0) }
    }

    private static func rule(_ rule: JSONValue) -> String {
        var words = [text(rule["action"]), text(rule["target"])].compactMap { $0 }
        if case .array(let ports)? = rule["ports"] { words.append("ports " + ports.map(value).joined(separator: ",")) }
        if let transport = text(rule["protocol"]) { words.append(transport) }
        return words.joined(separator: " ")
    }

    private static func value(_ value: JSONValue) -> String {
        text(value) ?? String(decoding: value.encoded, as: UTF8.self)
    }

    private static func text(_ value: JSONValue?) -> String? {
        if case .string(let text)? = value { text } else { nil }
    }
}
