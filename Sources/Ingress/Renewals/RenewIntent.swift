import FoundationEssentials
import JSON

/// The entry that a gateway adds to the Redis list when a sandbox was used (OSEP-0009): a JSON object with `sandbox_id`
/// and `observed_at` (RFC 3339). The optional `port` and `request_uri` are omitted, since they are not needed and a URI
/// may contain secrets.
package struct RenewIntent: Codable, Hashable, Sendable {
    package var sandbox: String
    package var observedAt: String

    enum CodingKeys: String, CodingKey {
        case sandbox = "sandbox_id"
        case observedAt = "observed_at"
    }

    package static let defaultQueue = "opensandbox:renew:intent"
    /// The longest intent that is read, in bytes.
    private static let maxBytes = 8 << 10

    package init(sandbox: String, observedAt date: Date = .now) {
        self.sandbox = sandbox
        observedAt = date.formatted(.iso8601)
    }

    /// - Returns: nil if it is not an intent, or its id is not a valid sandbox id.
    package init?(json: [UInt8]) {
        guard json.count <= Self.maxBytes, let read: RenewIntent = try? JSONValue(json).decode(),
            Route.isSandboxID(read.sandbox)
        else { return nil }
        self = read
    }

    package var json: String {
        // Two strings can always be encoded.
        guard let data = try? JSONEncoder().encode(self) else { preconditionFailure("an intent is not JSON") }
        return String(decoding: data, as: UTF8.self)
    }
}
