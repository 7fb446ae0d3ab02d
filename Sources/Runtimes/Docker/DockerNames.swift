/// Names and labels of what this runtime makes in an engine. Those of the contract are the contract's (docs/docker.md), so
/// that people and other servers know them.
enum DockerNames {
    static func container(_ id: String) -> String { "sandbox-\(id)" }
    static func sidecar(_ id: String) -> String { "sandbox-egress-\(id)" }
    static func helper(_ unique: String) -> String { "sandbox-execd-\(unique)" }
    /// What is put into one sandbox, apart from its own files, so that no snapshot has it.
    static func volume(_ id: String) -> String { "opensandbox-runtime-\(id)" }
    /// The policy that a sidecar has in force.
    static func sidecarVolume(_ id: String) -> String { "opensandbox-egress-\(id)" }
    /// Holds execd, once for each server.
    static func program(_ owner: String) -> String { "\(programPrefix)\(owner.prefix(12))" }
    private static let programPrefix = "sallyport-execd-"
    /// Whether a volume has the name of one that a runtime, of whatever server, made for itself.
    static func isOwnVolume(_ name: String) -> Bool {
        [programPrefix, volume(""), sidecarVolume("")].contains { name.hasPrefix($0) }
    }

    static let snapshots = "opensandbox-snapshots"
    static func snapshot(_ id: String) -> String { "\(snapshots):\(id)" }

    static let snapshotKey = "opensandbox.io/snapshot-id"
    static let sidecarKey = "opensandbox.io/egress-sidecar-for"
    static let managedKey = "opensandbox.io/volume-managed-by"
    /// By the sandbox's port.
    static let portKeys: [UInt16: String] = [
        44772: "opensandbox.io/embedding-proxy-port", 8080: "opensandbox.io/http-port",
    ]
    static let partKey = "sallyport.io/part"
    /// The number of the sandbox's link.
    static let linkKey = "sallyport.io/link"
    /// The ports of a sandbox in the machine's own network (`SharedNetwork`).
    static let execdPortKey = "sallyport.io/execd-port", codePortKey = "sallyport.io/code-port"
    /// The API key whose volume it is; "" for the server's own.
    static let callerKey = "sallyport.io/caller"
    /// The sandbox that a volume goes with.
    static let goesWithKey = "sallyport.io/goes-with"
    /// Of an image of guards: `true` where they read `OPENSANDBOX_EGRESS_TOKEN_FILE`.
    static let tokenFileKey = "sallyport.io/token-file"
    /// Of a snapshot: the server that took it.
    static let snapshotOwnerKey = "sallyport.io/snapshot-owner"

    enum Part: String, Hashable, Sendable {
        case workload, sidecar
        /// Is only there while files are put into a volume.
        case helper
        case volume
        /// The volume that has execd.
        case program
    }

    /// Words for a label, as filters take them.
    static func filter(_ key: String, _ value: String) -> String { "\(key)=\(value)" }

    /// The folder that the contract gives to execd, and what is below it.
    static let folder = "/opt/opensandbox"
    static let programFolder = folder + "/lib"
    static let execd = programFolder + "/execd"
    static let token = folder + "/token"
    static let variables = folder + "/variables"
}
