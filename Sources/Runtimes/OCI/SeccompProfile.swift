/// Which system calls a sandbox's processes may make (OCI runtime specification, `linux.seccomp`): an allow list.
///
/// - The calls in `SystemCalls` are allowed, some of them only with certain arguments.
/// - Known dangerous calls return EPERM, as if a right were missing.
/// - Everything else returns ENOSYS, as on an older kernel, so that programs fall back to older calls. That includes
///   clone3, whose flags a filter cannot see, and io_uring, whose calls a filter cannot see; with runc, which compiles
///   the list itself, also calls newer than its libseccomp.
/// - Using another ABI than the machine's own (i386, x32) kills the process.
struct SeccompProfile: Codable, Hashable, Sendable {
    /// A condition on one argument; `value` is the mask and `valueTwo` the required value under it
    /// (SCMP_CMP_MASKED_EQ).
    struct Argument: Codable, Hashable, Sendable {
        var index: Int
        var value: UInt64
        var valueTwo: UInt64
        var op = "SCMP_CMP_MASKED_EQ"

        init(_ index: Int, _ pattern: BitPattern) {
            self.index = index
            value = UInt64(pattern.mask)
            valueTwo = UInt64(pattern.value)
        }
    }
    struct Rule: Codable, Hashable, Sendable {
        var names: [String]
        var action: String
        /// nil for allowed calls.
        var errnoRet: Int?
        /// None or one.
        var args: [Argument] = []

        static func allow(_ names: [String], _ args: [Argument] = []) -> Rule {
            Rule(names: names, action: "SCMP_ACT_ALLOW", args: args)
        }
        static func refuse(_ names: [String], _ error: Int, _ args: [Argument] = []) -> Rule {
            Rule(names: names, action: "SCMP_ACT_ERRNO", errnoRet: error, args: args)
        }
    }

    var defaultAction = "SCMP_ACT_ERRNO"
    var defaultErrnoRet = Self.noSuchCall
    var architectures: [String]
    var syscalls: [Rule]

    static let notPermitted = 1  // EPERM
    static let noSuchCall = 38  // ENOSYS
    static let unsupportedFamily = 97  // EAFNOSUPPORT

    /// - Parameter capabilities: the most capabilities of the sandbox's root; some calls are only allowed with a
    ///   capability.
    /// - Parameter isolates: whether there are isolated sessions (`SystemCalls`).
    init(capabilities: [String], architecture: SystemCalls.Architecture = .current, isolates: Bool = false) {
        let calls = SystemCalls(capabilities: capabilities, architecture: architecture, isolates: isolates)
        architectures = [architecture.rawValue]
        syscalls = [.allow(calls.allowed), .refuse(calls.refused, Self.notPermitted)] + Self.conditions
        if capabilities.contains("CAP_SYS_ADMIN") {
            syscalls.append(.allow(["clone"]))
        } else {
            syscalls.append(.allow(["clone"], [Argument(0, BitPattern(mask: Self.namespaceFlags, value: 0))]))
            syscalls += BitPattern.any(of: Self.namespaceFlags).map {
                .refuse(["clone"], Self.notPermitted, [Argument(0, $0)])
            }
        }
    }

    /// Calls that are allowed for some values of their first argument. libseccomp takes 10 µs per rule, so only address
    /// families that the kernel can have get their own error.
    private static let conditions =
        socketFamilies.sorted().map { .allow(sockets, [Argument(0, .exactly($0))]) }
        + BitPattern.all(of: BitPattern(mask: ~63, value: 0), but: socketFamilies).map {
            .refuse(sockets, unsupportedFamily, [Argument(0, $0)])
        }
        + personalities.sorted().map { Rule.allow(["personality"], [Argument(0, .exactly($0))]) }

    private static let sockets = ["socket", "socketpair"]

    /// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. Others reach the machine rather than the namespace (AF_VSOCK: the
    /// hypervisor), or make the kernel load a module.
    private static let socketFamilies: Set<UInt32> = [1, 2, 10, 16]
    /// PER_LINUX, PER_LINUX32, both with UNAME26, and the question for the current one.
    private static let personalities: Set<UInt32> = [0, 8, 0x2_0000, 0x2_0008, .max]
    /// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
    private static let namespaceFlags: UInt32 = 0x7e02_0000
}
