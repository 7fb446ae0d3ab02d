import Runtimes

/// Where a sandbox is reached, as the store keeps it. Records of earlier servers have the first three fields.
package struct SandboxNetwork: Codable, Hashable, Sendable {
    /// The network namespace with this machine's rules; nil if a sidecar guards the sandbox.
    package var namespacePath: String?
    /// A literal address; for `published`, the engine's.
    package var address: String
    package var addressV6: String?
    /// Where the sidecar serves `/policy`, without its token.
    package var sidecar: HostPort?
    /// Published ports of `address` and the sandbox's ports that they forward to; nil if all ports are the sandbox's
    /// own.
    package var published: [PublishedPort]?

    /// Whether it shares this machine's network, so that `address` is others' as well; nil if not.
    package var sharesMachine: Bool?

    /// Ports of this machine that clients may use, beside the gateway's; nil for none.
    package var hostPorts: [PublishedPort]?

    /// Whether this server can dial from inside its network.
    var isHere: Bool { namespacePath != nil || sharesMachine == true }

    package struct HostPort: Codable, Hashable, Sendable {
        package var host: String
        package var port: Int
    }

    package struct PublishedPort: Codable, Hashable, Sendable {
        package var port: Int
        package var at: Int
    }

    init(_ placement: SandboxPlacement) {
        switch placement.reach {
        case .machine(let address, let addressV6): (self.address, self.addressV6) = (address, addressV6)
        case .pod(let address): self.address = address
        case .published(let host, let ports):
            address = host
            published = Self.published(ports)
        case .shared(let ports):
            (address, published, sharesMachine) = ("127.0.0.1", Self.published(ports), true)
        }
        if !placement.hostPorts.isEmpty {
            hostPorts = placement.hostPorts.map { PublishedPort(port: Int($0.port), at: Int($0.at)) }
        }
        switch placement.attachment {
        case .namespace(let path): namespacePath = path
        case .sidecar(let endpoint): sidecar = HostPort(host: endpoint.host, port: endpoint.port)
        case .absent: break
        }
    }

    private static func published(_ ports: [Int: Int]) -> [PublishedPort] {
        ports.map { PublishedPort(port: $0.key, at: $0.value) }.sorted { $0.port < $1.port }
    }
}
