import JSON

/// Whether the traffic passes of which `GET …/networkpolicy/explain` tells. The verdict there is the policy's alone; whatever
/// else stands in the way denies in a step of the path. Where nothing is enforced, the policy's verdict is the answer: whoever
/// observes a sandbox asks what the policy would do.
package enum ExplainedTraffic {
    package static func passes(_ answer: JSONValue?) -> Bool {
        guard let answer, answer["verdict"] == .string("allow") else { return false }
        guard answer["enforced"] != .boolean(false), case .array(let steps)? = answer["path"] else { return true }
        return !steps.contains { $0["verdict"] == .string("deny") }
    }
}
