import Addresses
import Netfilter
import NetworkPolicy

/// Where the local runtime keeps its things, and which addresses it gives out.
public struct LocalConfiguration: Hashable, Sendable {
    /// Folder of the sandboxes, made when missing.
    public var stateDirectory: String
    /// The static execd that every sandbox starts with.
    public var execdPath: String
    public var addressPool: CIDRBlock
    public var addressPoolV6: CIDRBlock
    /// Tells links and tables of one server on a machine from another's: letters and digits, 1 to 4.
    public var tag: String
    /// Folder of the network namespaces, made when missing. This server's own, and not that of `ip netns`.
    public var namespaceDirectory: String
    public var disk = DiskConfiguration()
    /// Bytes of an output's line that execd lets wait for its break; nil: execd's default.
    public var maxOutputLine: Int?
    /// `crun` or `runc`; nil for the first of them that is installed.
    public var ociRuntime: String?
    public var userNamespaces = UserNamespaceSettings.default
    /// Users of this machine whose programs may connect to sandboxes; nil: all. Root, who is this server, always may.
    public var reachableBy: Set<UInt32>? = [0]
    /// Where deleted sandboxes' files wait for their end. On the file system of the sandboxes, and no name of one.
    var removedDirectory: String { stateDirectory + "/.removed" }

    public init(
        stateDirectory: String, execdPath: String, addressPool: CIDRBlock = CIDRBlock("10.200.0.0/16")!,
        addressPoolV6: CIDRBlock = CIDRBlock("fd5a:1179::/64")!, tag: String = "sp",
        namespaceDirectory: String = NetworkNamespace.folder, maxOutputLine: Int? = nil
    ) {
        self.stateDirectory = stateDirectory
        self.execdPath = execdPath
        self.addressPool = addressPool
        self.addressPoolV6 = addressPoolV6
        self.tag = tag
        self.namespaceDirectory = namespaceDirectory
        self.maxOutputLine = maxOutputLine
    }
}
