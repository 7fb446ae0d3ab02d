import Addresses
import NetworkPolicy

/// Makes processes and network namespaces. A runtime knows nothing of policies, names or tokens: the plane guards and
/// routes what it makes.
public protocol SandboxRuntime: Sendable {
    /// Whether a sandbox with such limits could be made now, before anything is done for it.
    func admit(_ limits: ResourceLimits) async throws(RuntimeError)
    /// Makes everything that a sandbox needs but runs nothing: when it returns there is a namespace to guard, and no
    /// packet has passed. On an error nothing is left.
    func prepare(_ spec: SandboxSpec) async throws(RuntimeError) -> PreparedSandbox
    /// Starts the entrypoint; returns when execd accepts connections.
    func start(_ id: String) async throws(RuntimeError)
    func pause(_ id: String) async throws(RuntimeError)
    func resume(_ id: String) async throws(RuntimeError)
    /// Takes away everything of a sandbox, also of one that was half made or is unknown.
    func delete(_ id: String) async throws(RuntimeError)
    func state(of id: String) async -> RuntimeState
    /// Every sandbox of which something is there.
    func list() async -> [String]
    /// The last bytes that a sandbox's entrypoint printed.
    func logTail(of id: String, bytes: Int) async -> String
    /// What parts a sandbox from the machine, where machines differ: for whoever looks for the reason of something.
    func isolation(of id: String) async -> String
    /// What of deleted sandboxes is out of the way, but not gone yet.
    var leftovers: [Leftover] { get }
    /// Sandboxes whose first process has ended by itself, as they end; also those of an earlier server. For one reader.
    var exits: AsyncStream<SandboxEnd> { get }
}

extension SandboxRuntime {
    public func admit(_ limits: ResourceLimits) async throws(RuntimeError) {}
    public var leftovers: [Leftover] { [] }
}

/// What a sandbox is to be.
public struct SandboxSpec: Codable, Hashable, Sendable {
    public var id: String
    /// The folder of the image's files. It is never written to.
    public var imageRoot: String
    public var entrypoint: [String]
    public var environment: [String: String]
    public var workingDirectory: String
    public var limits: ResourceLimits
    /// What execd asks of its callers; nil: nothing. A sandbox's users are not all its root: whoever may connect to execd
    /// could become it.
    public var execdToken: String?

    public init(
        id: String, imageRoot: String, entrypoint: [String], environment: [String: String] = [:],
        workingDirectory: String = "/", limits: ResourceLimits = ResourceLimits(),
        execdToken: String? = nil
    ) {
        self.id = id
        self.imageRoot = imageRoot
        self.entrypoint = entrypoint
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.limits = limits
        self.execdToken = execdToken
    }
}

/// What a sandbox may use at most.
public struct ResourceLimits: Codable, Hashable, Sendable {
    /// Thousandths of a processor; nil for all there is.
    public var cpuMillis: Int?
    /// Bytes, swap included; nil for all there is.
    public var memoryBytes: Int64?
    public var processes: Int
    /// Bytes of its own files and its output; nil for what the server gives each.
    public var diskBytes: Int64?

    public init(
        cpuMillis: Int? = nil, memoryBytes: Int64? = nil, processes: Int = 4096, diskBytes: Int64? = nil
    ) {
        self.cpuMillis = cpuMillis
        self.memoryBytes = memoryBytes
        self.processes = processes
        self.diskBytes = diskBytes
    }
}

/// A sandbox that is ready to be guarded and started.
public struct PreparedSandbox: Hashable, Sendable {
    public let id: String
    public let namespacePath: String
    /// Where the host reaches it.
    public let address: IPv4Address
    public let addressV6: IPv6Address

    public init(id: String, namespacePath: String, address: IPv4Address, addressV6: IPv6Address) {
        self.id = id
        self.namespacePath = namespacePath
        self.address = address
        self.addressV6 = addressV6
    }
}

/// What the kernel says of a sandbox's first process.
public enum RuntimeState: Hashable, Sendable {
    case prepared, running, paused, exited, missing
}

/// Why the runtime could not do what was asked. Every description says what to do.
public enum RuntimeError: Error, Hashable, Sendable, CustomStringConvertible {
    case notRoot
    case missingTool(String, package: String)
    case missingExecd(String)
    case missingKernelFeature(String)
    case imageNotFound(String)
    case alreadyExists(String)
    case notFound(String)
    case wrongState(id: String, state: String, needed: String)
    case noAddressLeft(pool: String)
    case diskNearlyFull(folder: String, free: String, needed: String)
    case unenforcedLimit(String)
    case noIdentifiersLeft(String)
    case noUserNamespaces(String)
    case startFailed(id: String, reason: String)
    case system(action: String, reason: String)

    public var description: String {
        switch self {
        case .notRoot: "the local runtime needs root: start the server as root, or choose another runtime"
        case .missingTool(let tool, let package): "\(tool) is not installed: apt-get install \(package)"
        case .missingExecd(let path): "there is no static execd at \(path): run `make execd`"
        case .missingKernelFeature(let what): "the kernel lacks what the local runtime needs: \(what)"
        case .imageNotFound(let image): "there is no image at \(image)"
        case .alreadyExists(let id): "sandbox \(id) exists already"
        case .notFound(let id): "there is no sandbox \(id)"
        case .wrongState(let id, let state, let needed): "sandbox \(id) is \(state); it must be \(needed)"
        case .noAddressLeft(let pool): "every address of \(pool) is taken: delete sandboxes or enlarge the pool"
        case .diskNearlyFull(let folder, let free, let needed):
            "the disk of the server is nearly full (\(folder) has \(free) left, \(needed) are kept free): delete sandboxes "
                + "or make room"
        case .unenforcedLimit(let key):
            "resourceLimits.\(key) cannot be enforced on this server: it has neither project quotas nor loop devices"
        case .noIdentifiersLeft(let range):
            "every range of user ids among \(range) is taken: delete sandboxes or enlarge local.ids_count"
        case .noUserNamespaces(let reason):
            "sandboxes cannot have user namespaces, which local.user_namespaces requires: \(reason)"
        case .startFailed(let id, let reason): "sandbox \(id) did not start: \(reason)"
        case .system(let action, let reason): "\(action): \(reason)"
        }
    }
}
