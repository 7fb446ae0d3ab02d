import JSON

/// The body of `POST /sandboxes/{id}/snapshots`, which may be empty.
struct SnapshotRequest: Hashable, Sendable {
    var name: String?

    /// Characters. The contract gives no limit; more is no name.
    static let longestName = 1024

    /// - Throws: `APIError`: 422 for an empty name or one that is too long, 400 for what is not JSON.
    init(_ body: [UInt8]) throws(APIError) {
        guard !body.isEmpty else { return }
        let value: JSONValue
        do throws(JSONError) { value = try JSONValue(body) } catch { throw .notJSON(error) }
        let problems = Problems()
        let fields = Fields(value, at: ["body"], known: ["name"], problems: problems)
        name = fields.string("name")
        if name?.isEmpty == true {
            fields.problem("name", "String should have at least 1 character", type: "string_too_short")
        }
        if let name, name.unicodeScalars.count > Self.longestName {
            fields.problem("name", "String should have at most \(Self.longestName) characters", type: "string_too_long")
        }
        try problems.check()
    }
}

/// The query of `GET /snapshots`.
struct SnapshotQuery: Hashable, Sendable {
    static let parameters = ["sandboxId", "name", "state"] + PageQuery.parameters

    /// In lower case; empty for any.
    var states: Set<String> = []
    var sandbox: String?
    var name: String?
    var page = PageQuery()

    /// - Throws: 422 for page numbers out of range.
    init(_ query: [(name: String, value: String)]) throws(APIError) {
        for (name, value) in query {
            switch name {
            case "state": states.insert(value.lowercased())
            case "sandboxId": sandbox = value
            case "name": self.name = value
            default: try page.take(name, value)
            }
        }
    }

    func selects(_ snapshot: Snapshot) -> Bool {
        (states.isEmpty || states.contains(snapshot.state.rawValue.lowercased()))
            && (sandbox == nil || snapshot.sandbox == sandbox) && (name == nil || snapshot.name == name)
    }
}
