import Addresses
import DNSFilter
import NetworkPolicy
import Synchronization
import System

/// Checks flows to learned addresses, in mode `dns+nft+sni`. One thread for all sandboxes reads the name that each flow
/// states, asks the sandbox's policy about it, and relays what is allowed.
package final class FlowChecker: Sendable {
    package struct Sandbox: Sendable {
        let entrance: any FlowEntrance
        let policy: any FlowPolicy
        let flows: OpenFlows

        package init(entrance: any FlowEntrance, policy: any FlowPolicy, flows: OpenFlows) {
            (self.entrance, self.policy, self.flows) = (entrance, policy, flows)
        }
    }

    enum Command: Sendable {
        case attach(UInt64, Sandbox)
        case detach(UInt64)
        case stop
    }

    let settings: FlowCheckSettings
    /// Marks the checker's own sockets.
    package let mark: SocketMark
    let commands: CommandQueue<Command>
    private let numbers = Atomic<UInt64>(0)
    private let isRunning = Atomic(false)

    /// - Throws: when the kernel has no descriptors left.
    package init(_ settings: FlowCheckSettings, mark: SocketMark) throws(FlowCheckError) {
        self.settings = settings
        self.mark = mark
        do { commands = try CommandQueue() } catch { throw .noDescriptor(error) }
    }

    /// Starts the thread. Sandboxes may be attached before or after.
    package func start() throws(FlowCheckError) {
        let loop: FlowLoop
        do { loop = try FlowLoop(checker: self) } catch {
            throw .noDescriptor(error)
        }
        guard !isRunning.exchange(true, ordering: .relaxed) else { return }
        do {
            try DetachedThread.start { loop.run() }
        } catch {
            throw .noThread(error)
        }
    }

    /// Ends the thread, every flow, and the sockets of every sandbox.
    package func stop() { commands.send(.stop) }

    /// Checks what arrives at these sockets, until `detach`.
    package func attach(_ sandbox: Sandbox) -> UInt64 {
        let number = numbers.wrappingAdd(1, ordering: .relaxed).newValue
        commands.send(.attach(number, sandbox))
        return number
    }

    /// Ends a sandbox's flows and closes its sockets.
    package func detach(_ number: UInt64) { commands.send(.detach(number)) }
}

/// One end of a flow; of most the original destination.
package struct FlowTarget: Hashable, Sendable {
    package var address: IPAddress
    package var port: UInt16

    package init(address: IPAddress, port: UInt16) { (self.address, self.port) = (address, port) }
}

/// Why the flow check cannot start.
package enum FlowCheckError: Error, Hashable, Sendable, CustomStringConvertible {
    case noDescriptor(SystemCallError)
    case noThread(SystemCallError)

    package var description: String {
        switch self {
        case .noDescriptor(let error): "the flow check cannot open a descriptor: \(error)"
        case .noThread(let error): "the flow check cannot start a thread: \(error)"
        }
    }
}

/// What the flow check asks about one sandbox. Called on the checker's thread, so no method may wait.
package protocol FlowPolicy: AnyObject, Sendable {
    /// Why a flow that states `name` may not begin; nil if it may.
    func refusal(_ name: DomainName, _ target: FlowTarget) -> FlowRefusal?
    /// Called with the outcome of each flow.
    func record(_ event: FlowEvent)
}

/// A flow that was allowed or refused.
package struct FlowEvent: Hashable, Sendable {
    package var target: FlowTarget
    /// Where it comes from; nil of a flow that was allowed.
    package var source: FlowTarget?
    package var kind: FlowProtocol?
    /// nil if none could be read.
    package var name: DomainName?
    /// nil if it was allowed.
    package var refusal: FlowRefusal?

    package init(
        target: FlowTarget, source: FlowTarget? = nil, kind: FlowProtocol? = nil, name: DomainName? = nil,
        refusal: FlowRefusal? = nil
    ) {
        (self.target, self.source) = (target, source)
        (self.kind, self.name, self.refusal) = (kind, name, refusal)
    }
}

/// Where a sandbox's flows come in, and where they are dialled from: descriptors that stay open for as long as this object
/// is held.
package protocol FlowEntrance: AnyObject, Sendable {
    /// Listening sockets on loopback of the sandbox's namespace, non-blocking.
    var listeners: (ipv4: CInt?, ipv6: CInt?) { get }
    /// The namespace from which flows are dialled; nil for this process's own.
    var namespace: CInt? { get }
}
