import Addresses
import NetworkPolicy
import Spelling

/// The Docker runtime's engine, links and what holds for all of its containers.
package struct DockerConfiguration: Hashable, Sendable {
    package var engine = EngineAddress.usual
    /// Seconds without a byte after which a request to the engine is given up.
    package var patience = 180
    /// The static execd that every sandbox starts with.
    package var execdPath: String
    /// The folder of this runtime's own files, created if missing.
    package var stateDirectory: String
    package var addressPool = CIDRBlock("10.200.0.0/16")!
    package var addressPoolV6 = CIDRBlock("fd5a:1179::/64")!
    package var tag = "sp"
    package var namespaceDirectory: String
    package var reachableBy: Set<UInt32>? = [0]
    /// Whether containers have no network of their own but this machine's: nobody guards them, and they have no policy.
    package var sharesNetwork = false
    package var storage = StorageConfiguration()
    /// nil where no ports are published.
    package var ports: PortConfiguration?
    /// nil where the guard of this machine guards containers.
    package var sidecar: SidecarSettings?
    package var pulls = PullPolicy.missing
    package var confinement = ContainerConfinement()
    /// For every sandbox, below the request's own.
    package var environment: [ExactName: String] = [:]
    /// `source:target[:mode]`, for every sandbox.
    package var binds: [String] = []
    /// The longest line of output that execd holds; nil for its default.
    package var maxOutputLine: Int?
    /// Bytes of a container's output that are kept, in two files.
    package var maxLog: Int64 = 16 << 20
    /// Whether the host's rules and guards beside sandboxes are put back where others remove them, and the engine's own firewall is
    /// told to let sandboxes' links pass. Not by who is about to remove all of that: a runtime lives on as long as the engine's events
    /// are waited for, and a guard that is made while its sandbox goes would stay.
    package var keepsRules = true

    package init(execdPath: String, stateDirectory: String, namespaceDirectory: String) {
        self.execdPath = execdPath
        self.stateDirectory = stateDirectory
        self.namespaceDirectory = namespaceDirectory
    }
}

/// When an image is fetched that the engine has. A request with credentials always asks the registry, so that nobody gets
/// a private image for knowing its name.
package enum PullPolicy: String, Hashable, Sendable, CaseIterable {
    case missing, always, never
}

/// What every container is denied.
package struct ContainerConfinement: Hashable, Sendable {
    package static let usualDrops = [
        "AUDIT_WRITE", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_TIME",
        "SYS_TTY_CONFIG",
    ]
    /// Whoever has these could leave the guard, so no setting gives them back.
    private static let alwaysDropped = ["NET_ADMIN", "NET_RAW"]

    /// Without the prefix `CAP_`.
    package var droppedCapabilities = Self.usualDrops
    package var deniesNewPrivileges = true
    /// The text of a profile, or `unconfined`; nil for the engine's own.
    package var seccomp: String?
    /// The name of a profile that is loaded; nil for the engine's own.
    package var appArmor: String?
    /// 0 for no limit but a request's own.
    package var maxProcesses = 4096
    /// The OCI runtime by the name that the engine has for it; nil for its default.
    package var runtime: String?

    package init() {}

    /// The same without ports below 1024, which others trust to be root's.
    var inMachineNetwork: ContainerConfinement {
        var confinement = self
        if !droppedCapabilities.contains(Self.lowPorts) { confinement.droppedCapabilities.append(Self.lowPorts) }
        return confinement
    }
    private static let lowPorts = "NET_BIND_SERVICE"

    var drops: [String] { droppedCapabilities + Self.alwaysDropped.filter { !droppedCapabilities.contains($0) } }

    var securityOptions: [String] {
        (deniesNewPrivileges ? ["no-new-privileges=true"] : []) + (appArmor.map { ["apparmor=\($0)"] } ?? [])
            + (seccomp.map { ["seccomp=\($0)"] } ?? [])
    }
}
