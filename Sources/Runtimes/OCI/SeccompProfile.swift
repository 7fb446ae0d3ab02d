/// System calls that a sandbox's processes are refused (OCI runtime specification, seccomp).
struct SeccompProfile: Codable, Hashable, Sendable {
    struct Argument: Codable, Hashable, Sendable {
        var index: Int
        var value: UInt64
        var valueTwo: UInt64 = 0
        var op: String
    }
    struct Rule: Codable, Hashable, Sendable {
        var names: [String]
        var action = "SCMP_ACT_ERRNO"
        var errnoRet: Int
        var args: [Argument] = []
    }

    var defaultAction = "SCMP_ACT_ALLOW"
    var syscalls: [Rule]

    private static let notPermitted = 1  // EPERM
    private static let noSuchCall = 38  // ENOSYS
    private static let unsupportedFamily = 97  // EAFNOSUPPORT

    /// What reaches into the kernel, other namespaces or other processes. Programs fall back where they can: clone3 and
    /// io_uring look absent, so that clone, whose flags a filter can see, and read are used.
    static let sandbox = SeccompProfile(
        syscalls: [
            Rule(names: closed, errnoRet: notPermitted),
            Rule(names: ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"], errnoRet: noSuchCall),
        ]
            + namespaceFlags.map { flag in
                Rule(
                    names: ["clone"], errnoRet: notPermitted,
                    args: [Argument(index: 0, value: flag, valueTwo: flag, op: "SCMP_CMP_MASKED_EQ")])
            }
            + socketFamilies.map { family in
                Rule(
                    names: ["socket"], errnoRet: unsupportedFamily,
                    args: [Argument(index: 0, value: family, op: "SCMP_CMP_EQ")])
            })

    private static let closed = [
        // namespaces and mounts
        "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree",
        "fsopen",
        "fsconfig", "fsmount", "fspick",
        // the kernel itself
        "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff",
        "acct", "iopl", "ioperm", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "quotactl",
        "quotactl_fd", "nfsservctl", "lookup_dcookie", "vhangup", "sethostname", "setdomainname",
        // large attack surface
        "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "fanotify_init",
        "open_by_handle_at",
        "name_to_handle_at",
        // other processes' memory
        "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    ]

    /// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
    private static let namespaceFlags: [UInt64] = [
        0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
    ]
    /// AF_PACKET, AF_ALG, AF_VSOCK
    private static let socketFamilies: [UInt64] = [17, 38, 40]
}
