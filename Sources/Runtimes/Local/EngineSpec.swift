import Addresses
import Spelling

/// What the engine creates a sandbox from. It is stored in `SandboxRecord`, so the names of its fields must not change.
package struct EngineSpec: Codable, Hashable, Sendable {
    package var id: String
    /// The folder of the image's files, which is never written to.
    package var imageRoot: String
    package var entrypoint: [String]
    package var environment: [ExactName: String]
    package var workingDirectory: String
    package var limits: ResourceLimits
    /// The token that execd requires; nil for none.
    package var execdToken: String?
    /// The server that created it; nil in records of earlier servers, each of which had its own folder.
    package var owner: String?
    /// Whether execd is to be able to build isolated sessions; nil in records of earlier servers.
    package var isolates: Bool?
    /// Whether its entrypoint waits for `LocalEngine.begin`; nil in records of earlier servers.
    package var isHeld: Bool?
    /// Whom the entrypoint runs as, in the words of the image; nil for root, and in records of earlier servers.
    package var user: String?
    /// The id of the API key whose named volumes it may have; nil for the server's own.
    package var caller: String?
    /// nil in records of earlier servers.
    package var volumes: [SandboxVolume]?
    /// The image, for snapshots; nil in records of earlier servers.
    package var image: SandboxImage?
    /// Folders of layers between the image and the sandbox's own one, the topmost first; nil for none.
    package var layers: [String]?
    /// The ports that are to be published; nil for none.
    package var ports: PortRequest?

    package init(
        id: String, imageRoot: String, entrypoint: [String], environment: [ExactName: String] = [:],
        workingDirectory: String = "/", limits: ResourceLimits = ResourceLimits(),
        execdToken: String? = nil, owner: String? = nil, isolates: Bool = false, isHeld: Bool = false,
        volumes: [SandboxVolume] = [], image: SandboxImage? = nil, layers: [String]? = nil
    ) {
        self.id = id
        self.imageRoot = imageRoot
        self.entrypoint = entrypoint
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.limits = limits
        self.execdToken = execdToken
        self.owner = owner
        self.isolates = isolates
        self.isHeld = isHeld
        self.volumes = volumes
        self.image = image
        self.layers = layers
    }
}

extension EngineSpec {
    /// The folders below the sandbox's own layer, the topmost first.
    var lower: [String] { (layers ?? []) + [imageRoot] }
}

/// A sandbox that is ready to be guarded and started.
package struct PreparedSandbox: Hashable, Sendable {
    package let id: String
    package let namespacePath: String
    /// Where the host reaches it.
    package let address: IPv4Address
    package let addressV6: IPv6Address
    package let ports: [PublishedPort]
    /// Where it has no namespace to guard, since it shares the machine's network.
    let shared: SharedNetwork?

    init(
        id: String, namespacePath: String, address: IPv4Address, addressV6: IPv6Address, ports: [PublishedPort] = [],
        shared: SharedNetwork? = nil
    ) {
        self.id = id
        self.namespacePath = namespacePath
        self.address = address
        self.addressV6 = addressV6
        self.ports = ports
        self.shared = shared
    }
}

/// The state of a sandbox's first process.
package enum EngineState: Hashable, Sendable {
    case prepared, running, paused, exited, missing
}
