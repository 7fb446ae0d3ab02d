/// How a sandbox is guarded and how it is reached.
public struct SandboxPlacement: Hashable, Sendable {
    public var attachment: GuardAttachment
    public var reach: SandboxReach

    public init(_ attachment: GuardAttachment, _ reach: SandboxReach) {
        self.attachment = attachment
        self.reach = reach
    }
}

/// Where the guard of a sandbox is.
public enum GuardAttachment: Hashable, Sendable {
    /// This machine's guard has its rules in this network namespace.
    case namespace(path: String)
    /// A guard beside the sandbox, in its pod or in a container of its own.
    case sidecar(PolicyEndpoint)
}

/// Where a sidecar serves `/policy`.
public struct PolicyEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// A literal address.
    public var host: String
    public var port: Int
    /// What it asks for in `OPENSANDBOX-EGRESS-AUTH`.
    public var token: String

    public init(host: String, port: Int, token: String) {
        self.host = host
        self.port = port
        self.token = token
    }

    /// Without the token, which has no place in a log.
    public var description: String { "\(host):\(port)" }
}

/// Where the gateway dials a sandbox's ports.
public enum SandboxReach: Hashable, Sendable {
    /// An address that only this machine routes to. What listens on the sandbox's own loopback is reached from inside.
    case machine(address: String, addressV6: String)
    /// An address of the cluster's network, each port of it.
    case pod(address: String)
    /// Ports of the engine's machine that stand for some of the sandbox's; no other port of that machine is ever dialled.
    case published(host: String, ports: [Int: Int])
}
