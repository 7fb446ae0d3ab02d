import JSON

/// What a create asks for, put together from words of a command line.
package struct CreateBody: Sendable {
    /// Where the official client's defaults are, too.
    private static let entrypoint = ["tail", "-f", "/dev/null"]
    private static let limits = [("cpu", "1"), ("memory", "2Gi")]

    package enum Source: Hashable, Sendable {
        case image(String)
        case snapshot(String)
        case pool(String)
    }

    private var members: [(String, JSONValue)] = []
    private let isOfPool: Bool

    /// - Parameter seconds: until its end; nil for none.
    package init(_ source: Source, seconds: Int?) {
        isOfPool = if case .pool = source { true } else { false }
        switch source {
        case .image(let name): set("image", .object(["uri": .string(name)]))
        case .snapshot(let id): set("snapshotId", .string(id))
        case .pool(let name): set("extensions", .object(["poolRef": .string(name)]))
        }
        if let seconds { set("timeout", .integer(seconds)) }
    }

    private mutating func set(_ name: String, _ value: JSONValue) { members.append((name, value)) }

    /// - Parameter words: program and arguments; empty for one that waits.
    package mutating func run(_ words: [String]) {
        set("entrypoint", .array((words.isEmpty ? Self.entrypoint : words).map { .string($0) }))
    }

    /// What it may use, in Kubernetes' quantities. A pool's sandboxes have their pool's limits.
    package mutating func limit(cpu: String?, memory: String?, disk: String?) throws(ClientFailure) {
        let given = [("cpu", cpu), ("memory", memory), ("disk", disk)].compactMap { pair in pair.1.map { (pair.0, $0) }
        }
        guard !isOfPool else {
            guard given.isEmpty else { throw ClientFailure(.usage, "a sandbox of a pool has the limits of its pool") }
            return
        }
        let usual = Self.limits.filter { limit in !given.contains { $0.0 == limit.0 } }
        var object = JSONObject()
        for (name, quantity) in given + usual { object.set(name, .string(quantity)) }
        set("resourceLimits", .object(object))
    }

    /// - Parameters:
    ///   - name: of the member, such as `env`.
    ///   - pairs: each `NAME=VALUE`.
    package mutating func set(_ name: String, pairs: [String], option: String) throws(ClientFailure) {
        if let object = try JSONValue(pairs: pairs, option: option) { set(name, object) }
    }

    /// - Parameter policy: a policy document; nil for the server's default.
    package mutating func guarded(by policy: JSONValue?) {
        if let policy { set("networkPolicy", policy) }
    }

    package var json: JSONValue {
        var object = JSONObject()
        for (name, value) in members { object.set(name, value) }
        return .object(object)
    }
}

/// Rules of a policy, as words of a command line say them.
package enum RuleWords {
    /// The body of a change: what is denied stands in front of what is allowed.
    package static func rules(allow: [String], deny: [String]) -> JSONValue {
        .array(deny.map { rule("deny", $0) } + allow.map { rule("allow", $0) })
    }

    /// A policy of these rules that denies all else; nil if there are none.
    package static func policy(allow: [String], deny: [String]) -> JSONValue? {
        guard !allow.isEmpty || !deny.isEmpty else { return nil }
        return .object(["defaultAction": .string("deny"), "egress": rules(allow: allow, deny: deny)])
    }

    private static func rule(_ action: String, _ target: String) -> JSONValue {
        .object(["action": .string(action), "target": .string(target)])
    }
}
