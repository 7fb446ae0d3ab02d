import JSON
import NetworkPolicy
import Spelling

/// The container of a guard beside a sandbox (`POST /containers/create`), as a value.
struct SidecarBody {
    /// The sandbox's.
    var id: String
    /// This server's name.
    var owner: String
    var image: EngineImage
    /// The engine's id of the container whose network it joins.
    var network: String
    var variables: [String: String]
    /// nil for a successor, which takes the policy of the one before from their volume, and refuses everything without.
    var policy: Policy?
    /// A secret.
    var token: String
    /// The machine's folder with the operator's lists; nil where there is none.
    var rulesFolder: String?

    static let folder = "/var/egress/state"
    /// Where a sidecar looks for the lists. It is told so where they are mounted, and then does not do without.
    private static let rules = "/var/egress/rules"
    private static let memory = 256 << 20
    private static let prefix = "OPENSANDBOX_EGRESS_"
    private static let policyName = "policy.json"

    /// Whether the guard reads its token from a file: its image says so. Else it is told by a variable, which everybody sees whom the
    /// engine tells of its containers.
    var readsFile: Bool { image.configuration?.labels?[ExactName(DockerNames.tokenFileKey)] == "true" }

    /// What is put into its folder before it starts.
    var files: StagedArchive? {
        guard readsFile else { return nil }
        var files = StagedArchive()
        files.add(file: "token", mode: 0o400, Array(token.utf8))
        // A guard writes down what it is told later. Its successor is not told the first one.
        if let policy { files.add(file: Self.policyName, mode: 0o600, policy.encodedJSON(.plain)) }
        return files
    }

    var json: JSONValue {
        let own: JSONObject = [SandboxLabels.idKey: .string(id), SandboxLabels.ownerKey: .string(owner)]
        var labels = own, volume = own
        labels.set(DockerNames.sidecarKey, .string(id))
        labels.set(DockerNames.partKey, .string(DockerNames.Part.sidecar.rawValue))
        volume.set(DockerNames.partKey, .string(DockerNames.Part.volume.rawValue))
        return .object([
            "Image": .string(image.id), "Labels": .object(labels),
            "Env": .array(environment.sorted { $0.key < $1.key }.map { .string("\($0.key)=\($0.value)") }),
            "HostConfig": .object([
                "NetworkMode": .string("container:\(network)"), "CapDrop": .array([.string("ALL")]),
                "CapAdd": .array([.string("NET_ADMIN")]),
                "SecurityOpt": .array([.string("no-new-privileges=true")]), "PidsLimit": .integer(64),
                "Memory": .integer(Self.memory), "MemorySwap": .integer(Self.memory),
                // By the engine itself, whether a server runs or not.
                "RestartPolicy": .object(["Name": .string("always")]),
                "Mounts": .array(
                    [
                        .object([
                            "Type": .string("volume"), "Source": .string(DockerNames.sidecarVolume(id)),
                            "Target": .string(Self.folder), "VolumeOptions": .object(["Labels": .object(volume)]),
                        ])
                    ] + lists),
            ]),
        ])
    }

    /// The folder itself, so that the guard sees each change.
    private var lists: [JSONValue] {
        rulesFolder.map {
            [
                .object([
                    "Type": .string("bind"), "Source": .string($0), "Target": .string(Self.rules),
                    "ReadOnly": .boolean(true),
                ])
            ]
        } ?? []
    }

    private var environment: [String: String] {
        var all = variables
        all[Self.prefix + "SANDBOX_ID"] = id
        all[Self.prefix + "RULES"] = String(decoding: (policy ?? .denyAll).encodedJSON(.plain), as: UTF8.self)
        all[Self.prefix + "POLICY_FILE"] = Self.folder + "/" + Self.policyName
        if rulesFolder != nil { all[Self.prefix + "RULES_DIR"] = Self.rules }
        if readsFile {
            all[Self.prefix + "TOKEN_FILE"] = Self.folder + "/token"
        } else {
            all[Self.prefix + "TOKEN"] = token
        }
        return all
    }
}
