/// System calls by what a sandbox may do with them. Corresponds to Docker's default profile on a current kernel,
/// without other ABIs than the machine's own. Differences: address families are listed (`SeccompProfile`), and refused
/// calls are divided into dangerous and merely unavailable ones.
struct SystemCalls: Hashable, Sendable {
    /// libseccomp's name.
    enum Architecture: String, CaseIterable, Sendable {
        case x86_64 = "SCMP_ARCH_X86_64"
        case aarch64 = "SCMP_ARCH_AARCH64"

        #if arch(x86_64)
            static let current = Architecture.x86_64
        #elseif arch(arm64)
            static let current = Architecture.aarch64
        #endif
    }

    /// Allowed whatever their arguments.
    var allowed: [String]
    /// Refused with EPERM whatever their arguments.
    var refused: [String]

    /// - Parameter isolates: whether execd builds isolated sessions, for which its first process needs some calls. It takes
    ///   them away from everything else that it starts (docs/isolation.md).
    init(capabilities: [String], architecture: Architecture, isolates: Bool = false) {
        let isX86 = architecture == .x86_64
        let groups = Self.byCapability + (isX86 ? [Self.rawIO] : [])
        let given = groups.filter { capabilities.contains($0.capability) }.flatMap(\.names)
        let known = Set(Self.everywhere + (isX86 ? Self.ofX86 : []) + given + (isolates ? Self.forSessions : []))
        allowed = known.sorted()
        refused = Set(groups.flatMap(\.names) + Self.dangerous + (isX86 ? Self.dangerousOnX86 : []))
            .subtracting(known).sorted()
    }

    /// What execd builds isolated sessions with: of the calls of CAP_SYS_ADMIN no more than these.
    private static let forSessions = [
        "unshare", "setns", "mount", "mount_setattr", "move_mount", "open_tree", "sethostname",
    ]

    /// The calls that each capability allows. Sandboxes have only SYS_CHROOT of these; in their own user namespace the
    /// kernel would require the others on the host.
    private static let byCapability: [(capability: String, names: [String])] = [
        ("CAP_SYS_CHROOT", ["chroot"]),
        (
            "CAP_SYS_ADMIN",
            [
                "unshare", "setns", "mount", "umount2", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
                "fsopen", "fsconfig", "fsmount", "fspick", "sethostname", "setdomainname", "fanotify_init",
                "fanotify_mark",
                "quotactl", "quotactl_fd", "bpf", "perf_event_open", "syslog", "lookup_dcookie",
            ]
        ),
        ("CAP_BPF", ["bpf"]),
        ("CAP_PERFMON", ["perf_event_open"]),
        ("CAP_SYSLOG", ["syslog"]),
        ("CAP_DAC_READ_SEARCH", ["open_by_handle_at"]),
        ("CAP_SYS_PTRACE", ["kcmp", "pidfd_getfd", "process_madvise"]),
        ("CAP_SYS_NICE", ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
        ("CAP_SYS_TIME", ["settimeofday", "clock_settime"]),
        ("CAP_SYS_TTY_CONFIG", ["vhangup"]),
        ("CAP_SYS_PACCT", ["acct"]),
        ("CAP_SYS_BOOT", ["reboot"]),
        ("CAP_SYS_MODULE", ["init_module", "finit_module", "delete_module"]),
    ]
    /// On x86 only.
    private static let rawIO = (capability: "CAP_SYS_RAWIO", names: ["iopl", "ioperm"])

    /// Never allowed: they are for the machine's administrator, reach what namespaces do not separate (keys), or have
    /// been used in too many kernel exploits (userfaultfd).
    private static let dangerous = [
        "pivot_root", "kexec_load", "kexec_file_load", "swapon", "swapoff", "nfsservctl", "add_key", "keyctl",
        "request_key", "userfaultfd", "migrate_pages", "move_pages",
    ]
    private static let dangerousOnX86 = ["uselib", "ustat", "sysfs", "_sysctl"]
}
