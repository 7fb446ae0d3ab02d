import System

/// How a sandbox is guarded and how it is reached.
package struct SandboxPlacement: Hashable, Sendable {
    package var attachment: GuardAttachment
    package var reach: SandboxReach
    /// Ports of the machine that clients may use, beside the gateway's.
    package var hostPorts: [PublishedPort]
    /// What it was just made from, as `SandboxRuntime.revision` says it; nil where that is not known.
    package var image: ImageRevision?

    package init(
        _ attachment: GuardAttachment, _ reach: SandboxReach, hostPorts: [PublishedPort] = [],
        image: ImageRevision? = nil
    ) {
        self.attachment = attachment
        self.reach = reach
        self.hostPorts = hostPorts
        self.image = image
    }
}

/// The files that a name of an image means at one moment: another value once another image has the name.
package enum ImageRevision: Hashable, Sendable {
    /// Of a manifest, or the engine's id of an image.
    case digest(String)
    case folder(String, ChangeStamp)
}

/// Where the guard of a sandbox is.
package enum GuardAttachment: Hashable, Sendable {
    /// This machine's guard enforces rules in this network namespace.
    case namespace(path: String)
    /// A guard next to the sandbox, in its pod or in a separate container.
    case sidecar(PolicyEndpoint)
    /// Nobody guards it, since it shares the machine's network. It has no policy.
    case absent
}

/// Where a sidecar serves `/policy`.
package struct PolicyEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// A literal address.
    package var host: String
    package var port: Int
    /// The token for `OPENSANDBOX-EGRESS-AUTH`.
    package var token: String

    package init(host: String, port: Int, token: String) {
        self.host = host
        self.port = port
        self.token = token
    }

    /// Without the token, which must not be logged.
    package var description: String { "\(host):\(port)" }
}

/// Where the gateway connects to a sandbox's ports.
package enum SandboxReach: Hashable, Sendable {
    /// An address that only this machine has a route to. Servers on the sandbox's loopback are reached from inside its
    /// network namespace.
    case machine(address: String, addressV6: String)
    /// An address in the cluster's network, with all its ports.
    case pod(address: String)
    /// Ports of the engine's machine that forward to ports of the sandbox. No other port of that machine is ever
    /// dialled.
    case published(host: String, ports: [Int: Int])
    /// The machine's own loopback, which the sandbox shares with others: some of its ports under other numbers. Each is dialled
    /// by way of `SandboxRuntime.inside`, and only if `SandboxRuntime.serves` it.
    case shared(ports: [Int: Int])
}
