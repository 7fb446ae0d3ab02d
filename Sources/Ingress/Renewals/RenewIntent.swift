import FoundationEssentials
import JSON

/// What a gateway puts into the Redis list when a sandbox was used (OSEP-0009): a JSON object with `sandbox_id` and
/// `observed_at` (RFC 3339). The optional `port` and `request_uri` are left out: nobody needs them, and a URI may hold secrets.
public struct RenewIntent: Codable, Hashable, Sendable {
    public var sandbox: String
    public var observedAt: String

    enum CodingKeys: String, CodingKey {
        case sandbox = "sandbox_id"
        case observedAt = "observed_at"
    }

    public static let defaultQueue = "opensandbox:renew:intent"
    /// Bytes of an intent that is read.
    private static let longest = 8 << 10

    public init(sandbox: String, observedAt date: Date = .now) {
        self.sandbox = sandbox
        observedAt = date.formatted(.iso8601)
    }

    /// - Returns: nil for what is no intent, or names no id that a sandbox may have.
    public init?(json: [UInt8]) {
        guard json.count <= Self.longest, let read: RenewIntent = try? JSONValue(json).decode(),
            Route.isSandboxID(read.sandbox)
        else { return nil }
        self = read
    }

    public var json: String {
        // Two strings: there is nothing in it that JSON cannot say.
        guard let data = try? JSONEncoder().encode(self) else { preconditionFailure("an intent is not JSON") }
        return String(decoding: data, as: UTF8.self)
    }
}
