import JSON

/// The body of `POST /v1/metrics/events`: how long a create took at its client (docs/wire.md#lifecycle).
struct MetricsEvent: Hashable, Sendable {
    var milliseconds: Int
    var success: Bool

    /// The longest that is believed: a day.
    private static let longest = 86_400_000

    /// - Throws: `APIError` 422.
    init(_ body: JSONValue) throws(APIError) {
        let problems = Problems()
        let fields = Fields(
            body, at: ["body"], known: ["eventType", "sandboxId", "image", "createDurationMs", "success"],
            problems: problems)
        if let type = fields.required("eventType", { $0.string($1) }), type != "sandbox.create" {
            fields.problem("eventType", "Input should be 'sandbox.create'", type: "literal_error")
        }
        let duration = fields.required("createDurationMs") { $0.integer($1) }
        if let duration, duration < 0 {
            fields.problem("createDurationMs", "Input should be greater than or equal to 0", type: "greater_than_equal")
        }
        let success = fields.required("success") { $0.bool($1) }
        for name in ["sandboxId", "image"] { _ = fields.string(name) }
        try problems.check()
        self.milliseconds = min(duration ?? 0, Self.longest)
        self.success = success ?? false
    }
}
