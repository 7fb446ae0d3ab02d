import FoundationEssentials
import SecureAccess

/// The state of a sandbox (docs/wire.md#lifecycle).
public enum SandboxState: String, Codable, Hashable, Sendable {
    case pending = "Pending"
    case running = "Running"
    case pausing = "Pausing"
    case paused = "Paused"
    case resuming = "Resuming"
    case stopping = "Stopping"
    case terminated = "Terminated"
    case failed = "Failed"
}

/// A state, since when, and why.
public struct SandboxStatus: Codable, Hashable, Sendable {
    public var state: SandboxState
    /// A stable word for programs.
    public var reason: String
    /// A sentence for people.
    public var message: String
    public var since: Timestamp

    public init(_ state: SandboxState, reason: String, message: String = "", since: Timestamp = .now()) {
        self.state = state
        self.reason = reason
        self.message = message
        self.since = since
    }
}

/// The server's record of a sandbox. It contains no secrets; credentials are derived when needed.
public struct Sandbox: Codable, Hashable, Sendable, Identifiable {
    public var id: String
    public var image: String
    public var entrypoint: [String]
    public var metadata: [String: String]
    public var extensions: [String: String]
    var platform: Platform?
    public var status: SandboxStatus
    /// Its states so far, with the present one last.
    public var history: [SandboxStatus]
    public var createdAt: Timestamp
    /// nil if it stays until it is deleted.
    public var expiresAt: Timestamp?
    /// Whether its endpoints need a credential.
    public var secureAccess: Bool
    /// Whether the request that made it had a network policy.
    public var hasPolicy: Bool
    /// nil while it is being created.
    public var network: SandboxNetwork?
    /// How often its access was revoked; nil for never.
    public var revocations: UInt64?
    /// Tells whether the server still has the secrets with which the sandbox was made; nil for sandboxes of servers
    /// before 0.3.
    var secretsTag: String?

    static let renewExtension = "access.renew.extend.seconds"

    /// Seconds by which an access extends it from now; nil if it did not ask for that, or has no end.
    var renewal: Int? {
        guard expiresAt != nil, let seconds = extensions[Self.renewExtension].flatMap({ Int($0) }) else { return nil }
        return Self.renewalRange.contains(seconds) ? seconds : nil
    }

    static let renewalRange = 300...86_400

    /// Distinguishes this sandbox from others that had its addresses.
    public var incarnation: String { id + "." + String(createdAt.microseconds, radix: 36) }

    /// The epoch to which its credentials and signed routes are bound.
    public var accessEpoch: AccessEpoch {
        AccessEpoch(birth: UInt64(max(0, createdAt.microseconds)), revocations: revocations ?? 0)
    }

    /// A random identifier of 128 bits.
    static func identifier() -> String { UUID().uuidString.lowercased() }
}
