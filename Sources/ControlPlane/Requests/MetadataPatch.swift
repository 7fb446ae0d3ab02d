import JSON
import NIOHTTP1
import Spelling

/// The body of `PATCH /sandboxes/{id}/metadata`: entries to set, or to remove where the value is `null`.
struct MetadataPatch: Hashable, Sendable {
    var entries: [String: String?]

    /// - Throws: `APIError`: 422 if it is not an object of strings, 400 for an invalid label.
    init(_ body: JSONValue) throws(APIError) {
        let problems = Problems()
        let fields = Fields(.object(["metadata": body]), at: ["body"], known: ["metadata"], problems: problems)
        let entries = fields.texts("metadata") ?? [:]
        try problems.check()
        for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
            guard let problem = MetadataLabel.problem(key: key.text, value: value) else { continue }
            throw APIError(.badRequest, "INVALID_METADATA_LABEL", problem)
        }
        // Labels are ASCII, of which no two spellings are the same text.
        self.entries = Dictionary(uniqueKeysWithValues: entries.map { ($0.key.text, $0.value) })
    }
}
