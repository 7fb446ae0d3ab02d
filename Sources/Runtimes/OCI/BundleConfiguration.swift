import FoundationEssentials
import Spelling

#if canImport(Glibc)
    import Glibc
#endif

/// config.json of an OCI bundle (OCI runtime specification 1.0.2), as far as sandboxes use it.
struct BundleConfiguration: Codable, Hashable, Sendable {
    struct Process: Codable, Hashable, Sendable {
        struct User: Codable, Hashable, Sendable {
            var uid = 0
            var gid = 0
        }
        struct Capabilities: Codable, Hashable, Sendable {
            var bounding, effective, permitted: [String]
        }
        struct Limit: Codable, Hashable, Sendable {
            var type: String
            var hard, soft: UInt64
        }
        var terminal = false
        var user = User()
        var args: [String]
        var env: [String]
        var cwd: String
        var capabilities: Capabilities
        var rlimits = limits
        var noNewPrivileges = true
        /// The limit of open files. Only set if lower than this program's own limit: a higher one would be refused, and
        /// an equal one is inherited; setting it would need CAP_SYS_RESOURCE for runc if users are mapped.
        private static var limits: [Limit] {
            var own = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &own)
            let most = min(65536, UInt64(own.rlim_max))
            guard own.rlim_max != own.rlim_cur || own.rlim_max > most else { return [] }
            return [Limit(type: "RLIMIT_NOFILE", hard: most, soft: most)]
        }
        /// The kernel kills sandboxes before the server when memory runs out.
        var oomScoreAdj = 500
    }
    struct Root: Codable, Hashable, Sendable {
        var path: String
        var readonly = false
    }
    struct Mount: Codable, Hashable, Sendable {
        var destination: String
        var type: String
        var source: String
        var options: [String]
    }
    struct Linux: Codable, Hashable, Sendable {
        struct Namespace: Codable, Hashable, Sendable {
            var type: String
            var path: String?
        }
        struct Mapping: Codable, Hashable, Sendable {
            var containerID: UInt32 = 0
            var hostID: UInt32
            var size = IdentifierRange.size
        }
        struct Resources: Codable, Hashable, Sendable {
            struct CPU: Codable, Hashable, Sendable {
                var quota: Int64
                var period: UInt64
            }
            struct Memory: Codable, Hashable, Sendable {
                var limit: Int64
                var swap: Int64
            }
            struct Processes: Codable, Hashable, Sendable {
                var limit: Int
            }
            var cpu: CPU?
            var memory: Memory?
            var pids: Processes
            var devices = DeviceRule.sandbox
        }
        var namespaces: [Namespace]
        var uidMappings: [Mapping]?
        var gidMappings: [Mapping]?
        var cgroupsPath: String
        var resources: Resources
        var maskedPaths: [String]
        var readonlyPaths: [String]
        var seccomp: SeccompProfile
    }

    var ociVersion = "1.0.2"
    var process: Process
    var root: Root
    var hostname: String
    var mounts: [Mount]
    var linux: Linux
    var annotations: [String: String]

    /// crun loads this instead of compiling `linux.seccomp`; others do not know it.
    private static let compiledFilter = "run.oci.seccomp_bpf_data"
}

extension BundleConfiguration {
    /// The path of execd in a sandbox.
    static let execdPath = "/opt/opensandbox/execd"
    /// The path of execd's token, which only root can read.
    static let tokenPath = "/opt/opensandbox/token"
    /// The file of shared variables for commands.
    static let environmentFile = "/run/opensandbox/.env"

    /// Root's capabilities inside: for its own files and ports, none over the kernel (docs/isolation.md).
    private static let capabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_SETFCAP",
    ]

    /// The same for all sandboxes with isolated sessions and for all without, so each is compiled once. `data` is in Base64.
    fileprivate struct Filter: Sendable {
        let profile: SeccompProfile
        let data: String

        init(isolates: Bool) {
            profile = SeccompProfile(capabilities: capabilities, isolates: isolates)
            data = Data(SeccompProgram(profile).bytes).base64EncodedString()
        }

        static let usual = Filter(isolates: false), isolating = Filter(isolates: true)
    }

    /// Where the first process finds what isolated sessions change.
    static let isolationPath = "/var/lib/execd/isolation"

    /// What only execd's first process and its builder of isolated sessions keep (docs/isolation.md): over the sandbox's own
    /// mounts and over networks that are made inside. The sandbox's network is the host's, over which these count nothing.
    private static let forSessions = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]

    /// Microseconds that a group with so many thousandths of a processor has in a period.
    static func processorTime(millis: Int) -> (quota: Int64, period: UInt64) { (Int64(millis) * 100, 100_000) }

    init(
        _ spec: EngineSpec, rootfs: String, group: ControlGroup, execd: String, files: SandboxFiles,
        users: SandboxUsers? = nil,
        maxOutputLine: Int? = nil
    ) {
        var environment = spec.environment
        environment["EXECD_ENVS"] = environment["EXECD_ENVS"] ?? Self.environmentFile
        environment["PATH"] = environment["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment["HOME"] = environment["HOME"] ?? "/root"
        let isolates = files.isolation != nil
        let filter = isolates ? Filter.isolating : Filter.usual
        // Of a network of its own it may have every port; of the machine's, what any user may have.
        let capabilities =
            Self.capabilities.filter { files.sharedPort == nil || $0 != "CAP_NET_BIND_SERVICE" }
            + (isolates ? Self.forSessions : [])
        process = Process(
            args: Self.arguments(
                spec, files, isolates: isolates, maxOutputLine: maxOutputLine),
            env: environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }, cwd: spec.workingDirectory,
            capabilities: .init(bounding: capabilities, effective: capabilities, permitted: capabilities))
        root = Root(path: rootfs)
        hostname = files.hostname
        mounts = Self.mounts(execd: execd, files: files, memory: spec.limits.memoryBytes)
        let mappings = users.map { [Linux.Mapping(hostID: $0.range.first)] }
        let limits = spec.limits
        linux = Linux(
            // The OCI runtime is started in the network namespace, since that belongs to the host and runc could not
            // enter it from within the user namespace.
            namespaces: ["pid", "mount", "ipc", "uts", "cgroup"].map { .init(type: $0) }
                + (users.map { [.init(type: "user", path: $0.namespacePath)] } ?? []),
            uidMappings: mappings, gidMappings: mappings,
            cgroupsPath: group.programs.path,
            resources: .init(
                cpu: limits.cpuMillis.map {
                    let (quota, period) = Self.processorTime(millis: $0)
                    return .init(quota: quota, period: period)
                },
                memory: limits.memoryBytes.map { .init(limit: $0, swap: $0) }, pids: .init(limit: limits.processes)),
            maskedPaths: [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                "/sys/devices/virtual/powercap",
                // Loop devices name the machine's files that they show, other sandboxes' among them.
                "/sys/devices/virtual/block",
            ],
            readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            seccomp: filter.profile)
        annotations = [Self.compiledFilter: filter.data]
    }

    private static func arguments(
        _ spec: EngineSpec, _ files: SandboxFiles, isolates: Bool, maxOutputLine: Int?
    ) -> [String] {
        func list(_ numbers: [CInt]) -> String { numbers.map(String.init).joined(separator: ",") }
        let groups = ControlGroup.numbersInside
        var arguments = [execdPath, "--report", String(EndWatch.descriptorInside)]
        arguments += ["--own-group", list(groups.server), "--command-group", list(groups.programs)]
        if let port = files.sharedPort {
            arguments += ["--port", String(port), "--listener", String(ControlGroup.nextInside)]
        }
        if files.token != nil { arguments += ["--token-file", tokenPath] }
        if isolates { arguments += ["--isolation", isolationPath] }
        if let maxOutputLine { arguments += ["--longest-line", String(maxOutputLine)] }
        if let user = spec.user { arguments += ["--program-user", user] }
        // The program of one that is held comes with its use.
        return arguments + (spec.isHeld == true ? ["--held"] : ["--"] + spec.entrypoint)
    }

    private static func mounts(execd: String, files: SandboxFiles, memory: Int64?) -> [Mount] {
        let quiet = ["nosuid", "noexec", "nodev"]
        // Files in memory count towards the limit, and killing processes does not free them. So together they get at
        // most half of the limit.
        let size = "size=\(min(64 << 10, (memory ?? .max) / (6 << 10)))k"
        func file(_ destination: String, _ source: String, _ options: [String]) -> Mount {
            Mount(destination: destination, type: "bind", source: source, options: ["bind"] + options)
        }
        return [
            Mount(destination: "/proc", type: "proc", source: "proc", options: quiet),
            Mount(destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", size]),
            Mount(
                destination: "/dev/pts", type: "devpts", source: "devpts",
                options: [
                    "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5",
                    "max=\(SharedCounters.terminals)",
                ]),
            Mount(
                destination: "/dev/shm", type: "tmpfs", source: "shm", options: quiet + ["mode=1777", size]),
            Mount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet),
            // sysfs belongs to the network namespace, so only its owner may mount it.
            file("/sys", files.system, quiet + ["ro"]),
            // The sandbox's own control group, which language runtimes use to size themselves. Its cgroup namespace
            // hides all others.
            Mount(
                destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: quiet + ["relatime", "ro"]),
            Mount(
                destination: "/run", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "nodev", "mode=755", size]),
        ] + files.volumes.map(mount) + [
            // After the volumes, so that none hides it, whatever the links of an image lead to.
            file(execdPath, execd, ["ro", "nosuid", "nodev"])
        ] + (files.token.map { [file(tokenPath, $0, ["ro", "nosuid", "nodev", "noexec"])] } ?? [])
            + (files.isolation.map { [file(isolationPath, $0, ["nosuid", "nodev"])] } ?? [])
    }
}

extension BundleConfiguration {
    /// The flags are those that the mount has already, and nothing mounted later in the sandbox
    /// or on the machine passes through it.
    private static func mount(_ volume: SandboxFiles.VolumePoint) -> Mount {
        Mount(
            destination: volume.mountPath, type: "bind", source: volume.source,
            options: ["bind", "rprivate", "nosuid", "nodev"] + (volume.isReadOnly ? ["ro"] : []))
    }
}

/// Files and names made on the host for a sandbox.
struct SandboxFiles: Hashable, Sendable {
    var hostname: String
    /// The folder to mount as /sys.
    var system: String
    var token: String?
    /// The folder of what isolated sessions change; nil if the sandbox has none.
    var isolation: String?
    /// The port of this machine where execd listens, by the descriptor `ControlGroup.nextInside`; nil where the sandbox has a
    /// network of its own.
    var sharedPort: UInt16?
    var volumes: [VolumePoint] = []

    struct VolumePoint: Hashable, Sendable {
        var mountPath: String
        var source: String
        var isReadOnly: Bool
    }
}
