import NetworkPolicy
import Spelling

/// What a sandbox is to be.
public struct SandboxSpec: Hashable, Sendable {
    public var id: String
    public var source: SandboxSource
    public var entrypoint: [String]
    /// What the request sets; an image's own variables are the runtime's to add beneath.
    public var environment: [ExactName: String]
    public var limits: ResourceLimits
    /// In force before anything of the sandbox runs. `.allowAll` is guarded, too.
    public var policy: Policy
    /// What the runtime marks all that it makes for the sandbox with, where others can see it.
    public var labels: SandboxLabels
    /// What execd asks of its callers; nil: nothing. A sandbox's users are not all its root: whoever may connect to execd
    /// could become it.
    public var execdToken: String?

    public init(
        id: String, source: SandboxSource, entrypoint: [String], environment: [ExactName: String] = [:],
        limits: ResourceLimits = ResourceLimits(), policy: Policy, labels: SandboxLabels, execdToken: String? = nil
    ) {
        self.id = id
        self.source = source
        self.entrypoint = entrypoint
        self.environment = environment
        self.limits = limits
        self.policy = policy
        self.labels = labels
        self.execdToken = execdToken
    }
}

/// What a sandbox's files begin with.
public enum SandboxSource: Hashable, Sendable {
    /// A reference as the client wrote it, and what its registry is shown for it.
    case image(String, credentials: RegistryCredentials? = nil)
    /// The id of a snapshot; only where `RuntimeCapabilities.snapshots` says so.
    case snapshot(String)
}

/// What tells a sandbox from others in an engine or a cluster that several servers use.
public struct SandboxLabels: Hashable, Sendable {
    public static let idKey = "opensandbox.io/id"
    public static let ownerKey = "opensandbox.io/owner"

    /// The server that made it, and alone may take it away.
    public var owner: String
    public var id: String
    /// The client's own (`metadata`).
    public var metadata: [String: String]

    public init(owner: String, id: String, metadata: [String: String] = [:]) {
        self.owner = owner
        self.id = id
        self.metadata = metadata
    }

    /// As an engine is given them: what the client wrote can take the place of neither of ours.
    public var all: [String: String] {
        metadata.merging([Self.idKey: id, Self.ownerKey: owner]) { _, ours in ours }
    }
}

/// What a sandbox may use at most.
public struct ResourceLimits: Codable, Hashable, Sendable {
    /// Thousandths of a processor; nil for all there is.
    public var cpuMillis: Int?
    /// Bytes, swap included; nil for all there is.
    public var memoryBytes: Int64?
    public var processes: Int
    /// Bytes of its own files and its output; nil for what the server gives each.
    public var diskBytes: Int64?

    public init(
        cpuMillis: Int? = nil, memoryBytes: Int64? = nil, processes: Int = 4096, diskBytes: Int64? = nil
    ) {
        self.cpuMillis = cpuMillis
        self.memoryBytes = memoryBytes
        self.processes = processes
        self.diskBytes = diskBytes
    }
}
