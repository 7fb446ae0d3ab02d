import Addresses
import Spelling

/// What the engine creates a sandbox from. It is stored in `SandboxRecord`, so the names of its fields must not change.
public struct EngineSpec: Codable, Hashable, Sendable {
    public var id: String
    /// The folder of the image's files, which is never written to.
    public var imageRoot: String
    public var entrypoint: [String]
    public var environment: [ExactName: String]
    public var workingDirectory: String
    public var limits: ResourceLimits
    /// The token that execd requires; nil for none.
    public var execdToken: String?
    /// The server that created it; nil in records of earlier servers, each of which had its own folder.
    public var owner: String?

    public init(
        id: String, imageRoot: String, entrypoint: [String], environment: [ExactName: String] = [:],
        workingDirectory: String = "/", limits: ResourceLimits = ResourceLimits(),
        execdToken: String? = nil, owner: String? = nil
    ) {
        self.id = id
        self.imageRoot = imageRoot
        self.entrypoint = entrypoint
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.limits = limits
        self.execdToken = execdToken
        self.owner = owner
    }
}

/// A sandbox that is ready to be guarded and started.
public struct PreparedSandbox: Hashable, Sendable {
    public let id: String
    public let namespacePath: String
    /// Where the host reaches it.
    public let address: IPv4Address
    public let addressV6: IPv6Address

    public init(id: String, namespacePath: String, address: IPv4Address, addressV6: IPv6Address) {
        self.id = id
        self.namespacePath = namespacePath
        self.address = address
        self.addressV6 = addressV6
    }
}

/// The state of a sandbox's first process.
public enum EngineState: Hashable, Sendable {
    case prepared, running, paused, exited, missing
}
