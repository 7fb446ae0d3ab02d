import Egress
import Glibc

/// Whether a network namespace is the machine's own. A sidecar there would cut off the whole machine.
///
/// Comparing with /proc/1/ns/net does not help, because in a container process 1 is the container's. But the kernel
/// tells: the initial namespace has, since Linux 6.18, a reserved inode number (NET_NS_INIT_INO), and in every version
/// it alone shows the machine-wide settings in /proc/sys/net (net/core/sysctl_net_core.c registers them in `init_net`).
///
/// It only knows its own kernel. In a virtual machine the initial namespace is the guest's, even if only one pod is in
/// it (Kata Containers); and a container in which other containers run looks like any other.
package enum NamespaceKind: Hashable, Sendable {
    /// The machine's own.
    case initial
    case other
    /// /proc is not available.
    case unknown

    private static let initialNumber: UInt64 = 0xEFFF_FFF9
    /// Settings of the machine's processors.
    private static let machineSettings = ["netdev_max_backlog", "dev_weight"]

    /// Determines it for the calling thread.
    /// - Parameter proc: the mount point of the proc file system.
    package init(proc: String = "/proc") {
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
