import Addresses
import Netfilter
import NetworkPolicy

/// The local runtime's folders, addresses and limits.
package struct LocalConfiguration: Hashable, Sendable {
    /// The folder of the sandboxes, created if missing.
    package var stateDirectory: String
    /// The static execd that every sandbox starts with.
    package var execdPath: String
    package var addressPool: CIDRBlock
    package var addressPoolV6: CIDRBlock
    /// Distinguishes the links and tables of several servers on a machine: 1 to 4 letters and digits.
    package var tag: String
    /// The folder of network namespaces, created if missing. For this server only, and not that of `ip netns`.
    package var namespaceDirectory: String
    /// The folder of named volumes, made with the first.
    package var volumesDirectory: String
    package var storage = StorageConfiguration()
    package var disk = DiskConfiguration()
    /// The longest line of output that execd holds; nil for its default.
    package var maxOutputLine: Int?
    /// `crun` or `runc`; nil for the first of them that is installed.
    package var ociRuntime: String?
    /// gVisor in the place of `ociRuntime`; nil for none.
    package var gVisor: GVisorConfiguration?
    package var userNamespaces = UserNamespaceSettings.default
    /// Users of this machine whose programs may connect to sandboxes; nil for all. Root, and so this server, always
    /// may.
    package var reachableBy: Set<UInt32>? = [0]
    /// Whether sandboxes have no network of their own but this machine's: nobody guards them, and they have no policy.
    package var sharesNetwork = false
    /// nil where no ports are published.
    package var ports: PortConfiguration?
    /// Where deleted sandboxes' files wait to be removed: on the sandboxes' file system, under a name that no sandbox
    /// has.
    var removedDirectory: String { stateDirectory + "/.removed" }

    package init(
        stateDirectory: String, execdPath: String, addressPool: CIDRBlock = CIDRBlock("10.200.0.0/16")!,
        addressPoolV6: CIDRBlock = CIDRBlock("fd5a:1179::/64")!, tag: String = "sp",
        namespaceDirectory: String = NetworkNamespace.folder, maxOutputLine: Int? = nil
    ) {
        self.stateDirectory = stateDirectory
        volumesDirectory = stateDirectory + "-volumes"
        self.execdPath = execdPath
        self.addressPool = addressPool
        self.addressPoolV6 = addressPoolV6
        self.tag = tag
        self.namespaceDirectory = namespaceDirectory
        self.maxOutputLine = maxOutputLine
    }
}
