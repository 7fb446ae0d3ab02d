import Addresses
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import System

/// Containers in the machine's own network (docs/docker.md#the-machines-own-network). Which they are, the engine says of each:
/// the configuration only says it of new ones.
extension DockerRuntime {
    /// Where this machine dials the execd of a sandbox.
    func execd(of placement: SandboxPlacement) -> (address: IPv4Address, port: UInt16)? {
        switch placement.reach {
        case .machine(let address, _), .pod(let address): IPv4Address(address).map { ($0, StartWait.execdPort) }
        case .shared(let ports):
            ports[Int(StartWait.execdPort)].flatMap { UInt16(exactly: $0) }.map { (SharedNetwork.address, $0) }
        case .published: nil
        }
    }

    func sharedPlacement(_ id: String, _ found: ContainerFacts, _ shared: SharedNetwork) -> SandboxPlacement {
        let sockets = ContainerSockets(found.id, first: found.state.process)
        memory.withLock { $0.shared[id] = Shared(sockets: sockets) }
        return SandboxPlacement(.absent, .shared(ports: shared.services))
    }

    func isShared(_ id: String) -> Bool { memory.withLock { $0.shared[id] != nil } }

    package func serves(_ id: String, port: UInt16) -> Bool { serves(id) { $0.serve(port) } }
    package func serves(_ id: String, connection: CInt) -> Bool { serves(id) { $0.serve(connection: connection) } }

    /// Never true of one that has been removed: whoever dialled it meanwhile may have reached the next that has its port.
    private func serves(_ id: String, _ answer: (ContainerSockets) -> Bool) -> Bool {
        if let shared = memory.withLock({ $0.shared[id] }) { return shared.sockets.map(answer) ?? false }
        guard case .machine(let links) = network, LocalEngine.isIdentifier(id) else { return false }
        return links.namespace(id).exists
    }

    /// Waits for the execd of a container that has been started, and holds the socket by which it listens: from then on nobody
    /// else is reached there. Nothing of the image runs yet, and execd has been told nothing.
    /// - Throws: what `isOfAPort` is true of, if another program has the port.
    func reached(
        _ id: String, _ found: ContainerFacts, _ shared: SharedNetwork
    ) async throws(RuntimeError) -> ContainerProcess {
        do throws(RuntimeError) { return try await held(id, found, shared) } catch {
            guard !error.isOfAPort else { throw error }
            // Of one that has ended there is nothing to look at, and it says itself why. The engine may hear of it a moment later.
            for _ in 0..<Self.looks {
                guard let now = try await container(id), now.state.phase != .ended else { break }
                try? await Task.sleep(for: .milliseconds(50))
            }
            guard let now = try await container(id), now.state.phase == .ended else { throw error }
            throw .startFailed(id: id, reason: "execd has ended: \(await lastWords(of: id))")
        }
    }
    private static let looks = 20

    private func held(
        _ id: String, _ found: ContainerFacts, _ shared: SharedNetwork
    ) async throws(RuntimeError) -> ContainerProcess {
        let process = try ContainerProcess(found.state.process, of: found.id)
        try process.check()
        try process.checkSharesNetwork()
        try await wait(id, SharedNetwork.address, shared.execd, process)
        guard let sockets = ContainerSockets(found.id, first: process.number) else {
            throw .system(
                action: "looking at the processes of \(id)",
                reason: "their control group is not below \(ControlGroup.root)")
        }
        guard let socket = await threads.run({ sockets.copy(atPort: shared.execd) }) else {
            throw .startFailed(
                id: id, reason: "port \(shared.execd), which its execd was given: address already in use")
        }
        listeners.keep(socket, for: id)
        return process
    }

    /// Holds the port of a sandbox of an earlier server again.
    func takeBack(_ id: String, _ found: ContainerFacts, _ shared: SharedNetwork) async {
        let isNew = memory.withLock { $0.making.contains(id) }
        guard !isNew, listeners.descriptor(of: id) == nil else { return }
        var isHeld = false
        switch found.state.phase {
        case .running, .paused:
            let sockets = memory.withLock { $0.shared[id]?.sockets }
            if let socket = await threads.run({ sockets?.copy(atPort: shared.execd) }) {
                listeners.keep(socket, for: id)
                isHeld = true
            }
        case .ended: isHeld = listeners.takeBack(id, shared, from: nil)
        case .created, .removing, .unknown: return
        }
        let now: ContainerFacts?
        do throws(RuntimeError) { now = try await container(id) } catch { return }
        // Whoever deleted it meanwhile let go of its port before this took it.
        guard let now else { return forgetShared(id) }
        guard !isHeld, now.state.phase == found.state.phase, memory.withLock({ $0.unheld.insert(id).inserted }) else {
            return
        }
        logger.warning(
            "the port of a sandbox's execd could not be taken over: another program has it",
            metadata: ["sandbox": "\(id)", "port": "\(shared.execd)"])
    }

    func forgetShared(_ id: String) {
        memory.withLock {
            $0.shared[id] = nil
            $0.unheld.remove(id)
        }
        listeners.release(id)
    }
}

extension Policy {
    /// - Throws: if somebody would have to enforce it, in a network that is the machine's own.
    func checkUnguarded() throws(RuntimeError) {
        guard self == .allowAll else {
            throw .policyRefused("networkPolicy cannot be enforced in this machine's own network (network_mode)")
        }
    }
}
