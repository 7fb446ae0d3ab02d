import FoundationEssentials
import Runtimes
import SecureAccess

/// The state of a sandbox (docs/wire.md#lifecycle).
package enum SandboxState: String, Codable, Hashable, CaseIterable, Sendable {
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
package struct SandboxStatus: Codable, Hashable, Sendable {
    package var state: SandboxState
    /// A stable word for programs.
    package var reason: String
    /// A sentence for people.
    package var message: String
    package var since: Timestamp
    /// Of an entrypoint that has ended, where that is known.
    var exitCode: Int32?

    /// - Parameter message: nil for the usual sentence about the reason.
    package init(_ state: SandboxState, reason: String, message: String? = nil, since: Timestamp = .now()) {
        self.state = state
        self.reason = reason
        self.message = message ?? StatusReason.sentence(reason)
        self.since = since
    }
}

/// The server's record of a sandbox. It contains no secrets; credentials are derived when needed.
package struct Sandbox: Codable, Hashable, Sendable, Identifiable {
    package var id: String
    /// What is below its files; the request named it, or it is that of the snapshot's sandbox.
    package var image: String
    /// The snapshot that it was restored from; nil for none.
    package var snapshot: String?
    package var entrypoint: [String]
    package var metadata: [String: String]
    package var extensions: [String: String]
    var platform: Platform?
    package var status: SandboxStatus
    /// Its states so far, with the present one last.
    package var history: [SandboxStatus]
    package var createdAt: Timestamp
    /// nil if it stays until it is deleted.
    package var expiresAt: Timestamp?
    /// Whether its endpoints need a credential.
    package var secureAccess: Bool
    /// Whether the request that made it had a network policy.
    package var hasPolicy: Bool
    /// nil while it is being created.
    package var network: SandboxNetwork?
    /// How often its access was revoked; nil for never.
    package var revocations: UInt64?
    /// Tells whether the server still has the secrets with which the sandbox was made; nil for sandboxes of servers
    /// before 0.3.
    var secretsTag: String?
    /// The pool that it is of; nil for none.
    var poolRef: String?
    /// The id of the named API key that made it; nil for the server's own.
    var owner: String?
    /// nil for sandboxes of earlier releases.
    var limits: ResourceLimits?

    /// `enable` for isolated sessions in execd; any other value is none (contract).
    static let isolationExtension = "bootstrap.execd.isolation"
    static let renewExtension = "access.renew.extend.seconds"

    /// Seconds by which an access extends it from now; nil if it did not ask for that, or has no end.
    var renewal: Int? {
        guard expiresAt != nil, let seconds = extensions[Self.renewExtension].flatMap({ Int($0) }) else { return nil }
        return Self.renewalRange.contains(seconds) ? seconds : nil
    }

    static let renewalRange = 300...86_400

    /// Distinguishes this sandbox from others that had its addresses.
    package var incarnation: String { id + "." + String(createdAt.microseconds, radix: 36) }

    /// The epoch to which its credentials and signed routes are bound.
    package var accessEpoch: AccessEpoch {
        AccessEpoch(birth: UInt64(max(0, createdAt.microseconds)), revocations: revocations ?? 0)
    }

    /// A random identifier of 128 bits.
    static func identifier() -> String { UUID().uuidString.lowercased() }
}
