import JSON

/// The body of `POST /templates`, checked as the contract has it, so that a wrong one is told before that there are no templates
/// here.
enum TemplateRequest {
    private static let fields = [
        "image", "publish", "resourceLimits", "entrypoint", "env", "metadata", "readiness", "format",
    ]

    /// - Throws: `APIError` 422. Unlike elsewhere unknown fields are refused, as the contract has it.
    static func check(_ body: JSONValue) throws(APIError) {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: Self.fields, problems: problems)
        if case .object(let object) = body {
            for member in object.members where !Self.fields.contains(member.name) {
                fields.problem(
                    String(member.name.prefix(64)), "Extra inputs are not permitted", type: "extra_forbidden")
            }
        }
        for name in ["image", "publish"] where fields.required(name, { $0.string($1) })?.isEmpty == true {
            fields.problem(name, "String should have at least 1 character", type: "string_too_short")
        }
        for name in ["resourceLimits", "env", "metadata"] { _ = fields.texts(name) }
        if fields.strings("entrypoint")?.isEmpty == true {
            fields.problem("entrypoint", "List should have at least 1 item", type: "too_short")
        }
        if let readiness = fields.object("readiness", known: ["probe", "warmupSeconds"]) {
            _ = readiness.string("probe")
            if let seconds = readiness.integer("warmupSeconds"), seconds < 0 {
                readiness.problem(
                    "warmupSeconds", "Input should be greater than or equal to 0", type: "greater_than_equal")
            }
        }
        if let format = fields.string("format"), !["native", "overlaybd"].contains(format) {
            fields.problem("format", "Input should be 'native' or 'overlaybd'", type: "literal_error")
        }
        try problems.check()
    }
}
