import Logging

/// Published ports of containers ([local.ports], docs/networking.md#published-ports).
extension DockerRuntime {
    /// A container in which execd runs, and nothing of its image.
    struct HeldContainer {
        var found: ContainerFacts
        /// The number of its link; nil where it has none.
        var host: UInt32?
        /// Its first process, known to be this machine's; nil where nobody has looked yet.
        var process: ContainerProcess?
        /// Those that are not the runtime's.
        var mounts: ForeignMounts
    }

    /// How often a container is made, where other programs take its ports meanwhile.
    private static let attempts = 3

    /// Makes and starts a container; anew with other ports, where another program was faster than the engine, or than execd.
    func started(
        _ spec: SandboxSpec, _ image: EngineImage, _ host: UInt32?
    ) async throws(RuntimeError) -> HeldContainer {
        let id = spec.id
        var attempt = 1
        while true {
            let shared = configuration.sharesNetwork ? try listeners.lease(id) : nil
            try ports.lease(id, spec.ports, host: host)
            do throws(RuntimeError) {
                let mounts = try await make(spec, image, host, shared)
                if Task.isCancelled { throw .cancelled }
                if case .engine = network { ports.letGo(id) }
                // execd binds the port itself, and no socket that is bound can be given to a container.
                if shared != nil { listeners.release(id) }
                var made = HeldContainer(found: try await start(spec), host: host, mounts: mounts)
                if let shared { made.process = try await reached(id, made.found, shared) }
                return made
            } catch {
                let isBound = if case .engine = network { ports[id] != nil } else { shared != nil }
                guard isBound, attempt < Self.attempts, error.isOfAPort else { throw error }
                attempt += 1
                logger.warning(
                    "another program took a port of a sandbox, which gets another one", metadata: ["sandbox": "\(id)"])
                try await remove(id)
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
