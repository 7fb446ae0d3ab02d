import JSON

/// A `NAME=VALUE` of a command line: a variable, a label.
struct NamedValue: Hashable, Sendable {
    let name: String
    let value: String

    /// - Parameter option: what the command line calls it.
    /// - Throws: `.usage`, without the value, which may be a secret.
    init(_ text: String, option: String) throws(ClientFailure) {
        let halves = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2, !halves[0].isEmpty else {
            throw ClientFailure(.usage, "\(option) takes NAME=VALUE; \"\(halves[0].prefix(80))\" is not such a pair")
        }
        (name, value) = (String(halves[0]), String(halves[1]))
    }
}

extension JSONValue {
    /// An object of `NAME=VALUE` pairs; nil if there are none.
    package init?(pairs: [String], option: String) throws(ClientFailure) {
        guard !pairs.isEmpty else { return nil }
        var object = JSONObject()
        for pair in pairs {
            let pair = try NamedValue(pair, option: option)
            object.set(pair.name, .string(pair.value))
        }
        self = .object(object)
    }
}
