import Glibc

/// Whether a network namespace is the machine's own, in which a sidecar would shut out everything but its sandbox.
///
/// Comparing with /proc/1/ns/net tells nothing: in a container, process 1 is its own. What tells is the kernel's: the first
/// namespace of all has, since Linux 6.18, a number below those that are given out (NET_NS_INIT_INO), and in every version it
/// alone has the settings that are the machine's and no namespace's (net/core/sysctl_net_core.c registers them in
/// `init_net`); /proc/sys/net shows to each process what its own namespace has.
///
/// It does not see beyond its kernel: of a virtual machine, it is the guest's first namespace, also where (Kata Containers)
/// nobody but the pod is in it; and the namespace of a container in which other containers run is any other one.
public enum NamespaceKind: Hashable, Sendable {
    /// The first one.
    case initial
    case other
    /// There is no /proc that would tell.
    case unknown

    private static let initialNumber: UInt64 = 0xEFFF_FFF9
    /// Queues and weights of the machine's processors.
    private static let machineSettings = ["netdev_max_backlog", "dev_weight"]

    /// Of the calling thread.
    /// - Parameter proc: where the process file system is.
    public init(proc: String = "/proc") {
        var status = stat()
        guard stat(proc + "/thread-self/ns/net", &status) == 0, access(proc + "/sys/net/core/somaxconn", F_OK) == 0
        else {
            self = .unknown
            return
        }
        let hasMachines = Self.machineSettings.allSatisfy { access(proc + "/sys/net/core/" + $0, F_OK) == 0 }
        self = status.st_ino == Self.initialNumber || hasMachines ? .initial : .other
    }
}
