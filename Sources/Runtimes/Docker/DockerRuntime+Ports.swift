import Logging

/// Published ports of containers ([local.ports], docs/networking.md#published-ports).
extension DockerRuntime {
    /// How often a container is made, where other programs take its ports meanwhile.
    private static let attempts = 3

    /// Makes and starts a container; anew with other ports, where another program was faster than the engine.
    func started(
        _ spec: SandboxSpec, _ image: EngineImage, _ host: UInt32?
    ) async throws(RuntimeError) -> (found: ContainerFacts, mounts: ForeignMounts) {
        var attempt = 1
        while true {
            try ports.lease(spec.id, spec.ports, host: host)
            do throws(RuntimeError) {
                let mounts = try await make(spec, image, host)
                if Task.isCancelled { throw .cancelled }
                if case .engine = network { ports.letGo(spec.id) }
                return (try await start(spec.id), mounts)
            } catch {
                guard case .engine = network, ports[spec.id] != nil, attempt < Self.attempts, error.isOfAPort else {
                    throw error
                }
                attempt += 1
                logger.info(
                    "another program took a published port: the sandbox gets another one",
                    metadata: ["sandbox": "\(spec.id)"])
                try await remove(spec.id)
            }
        }
    }

    /// Where the machine has the ports that the contract knows: labels of the contract, for people and other servers.
    func portLabels(_ id: String) -> [String: String] {
        let known = (ports[id]?.ports ?? []).compactMap { port in
            DockerNames.portKeys[port.port].map { ($0, "\(port.at)") }
        }
        return Dictionary(known) { first, _ in first }
    }

    /// The ports that the engine binds.
    func bindings(_ id: String) throws(RuntimeError) -> ContainerBody.Bindings? {
        guard case .engine = network, let lease = ports[id], let configuration = ports.configuration else { return nil }
        guard let address = configuration.sources.engineAddress, lease.sources == nil else {
            throw .unsupported("a list of who may connect to a published port (ports.allow, ports.deny) with a sidecar")
        }
        return .init(ports: lease.ports, address: address)
    }

    /// Opens what is published. The sandbox is guarded now.
    func publish(_ id: String) async throws(RuntimeError) {
        guard case .machine(let links) = network, let lease = ports[id] else { return }
        try await links.publish(id, lease)
    }

    func unpublish(_ id: String) async throws(RuntimeError) {
        if case .machine(let links) = network, let lease = ports[id] { try await links.unpublish(id, lease) }
        ports.release(id)
    }
}

extension RuntimeError {
    /// Whether an engine says that a port of the machine is not free.
    var isOfAPort: Bool {
        guard case .startFailed(_, let reason, _) = self else { return false }
        let text = reason.lowercased()
        return ["port is already allocated", "address already in use", "ports are not available"].contains {
            text.contains($0)
        }
    }
}
