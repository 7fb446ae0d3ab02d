import JSON
import NIOHTTP1
import Runtimes

/// The body of `POST /sandboxes/{id}/renew-expiration`: the sandbox's new end.
struct RenewRequest: Hashable, Sendable {
    /// Within the server's limit; it may be in the past.
    var end: Timestamp

    /// - Throws: `APIError`: 422 for an invalid timestamp or one beyond `maxLife`; 400 for one beyond the server's own
    ///   limit.
    init(_ body: JSONValue, limits: RequestLimits, now: Timestamp = .now()) throws(APIError) {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: ["expiresAt"], problems: problems)
        let text = fields.string("expiresAt")
        if !fields.mentions("expiresAt") { fields.missing("expiresAt") }
        let end = text.flatMap { Timestamp($0) }
        if text != nil, end == nil {
            fields.problem(
                "expiresAt", "Input should be a valid datetime, from 1970 to \(Timestamp.last)",
                type: "datetime_parsing")
        }
        if let end, end > now.adding(seconds: RequestLimits.maxLife) {
            fields.problem("expiresAt", "Input should be at most \(RequestLimits.maxLife) seconds from now")
        }
        try problems.check()
        guard let end else { throw .invalid(["body", "expiresAt"], "Input should be a valid datetime") }
        guard end <= now.adding(seconds: limits.maxTimeout) else {
            throw APIError(
                .badRequest, limits.codes.invalidExpiration,
                "expiresAt is further away than this server's limit of \(limits.maxTimeout) seconds "
                    + "(server.max_sandbox_timeout_seconds)")
        }
        self.end = end
    }
}
