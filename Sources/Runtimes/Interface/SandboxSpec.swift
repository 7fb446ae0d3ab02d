import NetworkPolicy
import Spelling

/// What to create.
package struct SandboxSpec: Hashable, Sendable {
    package var id: String
    package var source: SandboxSource
    package var entrypoint: [String]
    /// The request's variables. The runtime adds those of the image that the request does not set.
    package var environment: [ExactName: String]
    /// Variables that a runtime gives to every sandbox, and not to this one. Those of an image stay.
    package var absentVariables: Set<ExactName> = []
    package var limits: ResourceLimits
    /// Enforced before anything of the sandbox runs. `.allowAll` is guarded as well.
    package var policy: Policy
    /// Labels for everything that the runtime creates for the sandbox where others can see it.
    package var labels: SandboxLabels
    /// The token that execd requires; nil for none. Without one, any user in the sandbox could become its root through
    /// execd.
    package var execdToken: String?
    /// Whether execd is to be able to build isolated sessions. A runtime that cannot have them safely makes the sandbox
    /// without, and execd says so.
    package var isolates: Bool
    /// Whether it is made ahead of its use: guarded and running, but without its program, until `SandboxRuntime.begin`.
    /// Only if `RuntimeCapabilities.pools` is true.
    package var isHeld: Bool
    /// The id of the API key that asks for it, whose named volumes it may have; nil for the server's own.
    package var caller: String?
    /// Only if `RuntimeCapabilities.volumes` is true.
    package var volumes: [SandboxVolume]
    /// The keys of volumes that are buckets, by the volume's name. They are not stored.
    package var bucketKeys: [String: BucketKeys]
    /// The ports that are to be published; nil for none. Only if `RuntimeCapabilities.publishedPorts` is true.
    package var ports: PortRequest?

    package init(
        id: String, source: SandboxSource, entrypoint: [String], environment: [ExactName: String] = [:],
        limits: ResourceLimits = ResourceLimits(), policy: Policy, labels: SandboxLabels, execdToken: String? = nil,
        isolates: Bool = false, isHeld: Bool = false, caller: String? = nil, volumes: [SandboxVolume] = [],
        bucketKeys: [String: BucketKeys] = [:], ports: PortRequest? = nil
    ) {
        self.id = id
        self.source = source
        self.entrypoint = entrypoint
        self.environment = environment
        self.limits = limits
        self.policy = policy
        self.labels = labels
        self.execdToken = execdToken
        self.isolates = isolates
        self.isHeld = isHeld
        self.caller = caller
        self.volumes = volumes
        self.bucketKeys = bucketKeys
        self.ports = ports
    }
}

/// What a sandbox that was made ahead is told when somebody wants it.
package struct SandboxUse: Hashable, Sendable {
    package var id: String
    /// Empty for what it was made with.
    package var entrypoint: [String]
    /// Over the variables that it was made with.
    package var environment: [ExactName: String]
    /// Enforced before its program begins.
    package var policy: Policy

    package init(
        id: String, entrypoint: [String] = [], environment: [ExactName: String] = [:], policy: Policy
    ) {
        self.id = id
        self.entrypoint = entrypoint
        self.environment = environment
        self.policy = policy
    }
}

/// The source of a sandbox's files.
package enum SandboxSource: Hashable, Sendable {
    /// A reference as the client wrote it, and the credentials for its registry.
    case image(String, credentials: RegistryCredentials? = nil)
    /// The id of a snapshot; only if `RuntimeCapabilities.snapshots` is true.
    case snapshot(String)
}

/// Distinguishes a sandbox in an engine or cluster that several servers use.
package struct SandboxLabels: Hashable, Sendable {
    package static let idKey = prefix + "id"
    package static let ownerKey = prefix + "owner"
    /// Of labels that no client sets.
    package static let prefix = "opensandbox.io/"

    /// The server that created it, which alone may delete it.
    package var owner: String
    package var id: String
    /// The client's labels (`metadata`).
    package var metadata: [String: String]
    /// What else the contract has in labels, by names below `prefix`, for people and other servers: this one reads none of them.
    package var facts: [String: String] = [:]

    package init(owner: String, id: String, metadata: [String: String] = [:]) {
        self.owner = owner
        self.id = id
        self.metadata = metadata
    }

    /// All labels for an engine. A client's label can replace none of ours.
    package var all: [String: String] {
        var all = metadata
        for (name, value) in facts { all[Self.prefix + name] = value }
        return all.merging([Self.idKey: id, Self.ownerKey: owner]) { _, ours in ours }
    }
}

/// A sandbox's limits.
package struct ResourceLimits: Codable, Hashable, Sendable {
    /// Thousandths of a processor; nil for no limit.
    package var cpuMillis: Int?
    /// Bytes, including swap; nil for no limit.
    package var memoryBytes: Int64?
    package var processes: Int
    /// Bytes of its own files and output; nil for the server's default.
    package var diskBytes: Int64?
    /// How many graphics processors, or `allGPUs`; nil for none. Only if `RuntimeCapabilities.gpu` is true.
    package var gpus: Int?
    package static let allGPUs = -1

    package init(
        cpuMillis: Int? = nil, memoryBytes: Int64? = nil, processes: Int = 4096, diskBytes: Int64? = nil,
        gpus: Int? = nil
    ) {
        self.cpuMillis = cpuMillis
        self.memoryBytes = memoryBytes
        self.processes = processes
        self.diskBytes = diskBytes
        self.gpus = gpus
    }
}
