import Addresses
import DNSFilter
import Glibc
import Netfilter
import NetworkPolicy
import Synchronization
import System

/// Checks flows to learned addresses, in mode `dns+nft+sni`. One thread for all sandboxes reads the name that each flow
/// states, asks the sandbox's policy about it, and relays what is allowed.
public final class FlowChecker: Sendable {
    struct Sandbox: Sendable {
        let entrance: FlowEntrance
        let policy: any FlowPolicy
        let flows: OpenFlows
    }

    enum Command: Sendable {
        case attach(UInt64, Sandbox)
        case detach(UInt64)
        case stop
    }

    private struct Shared: Sendable {
        var next: UInt64 = 1
        var isRunning = false
    }

    let settings: FlowCheckSettings
    /// Marks the checker's own sockets.
    let mark: SocketMark
    let commands: CommandQueue<Command>
    private let shared = Mutex(Shared())

    /// - Throws: `EgressError` when the kernel has no descriptors left.
    init(_ settings: FlowCheckSettings, mark: SocketMark) throws(EgressError) {
        self.settings = settings
        self.mark = mark
        do { commands = try CommandQueue() } catch { throw .kernel("the flow check gets no descriptor: \(error)") }
    }

    /// Starts the thread. Sandboxes may be attached before or after.
    func start() throws(EgressError) {
        let loop: FlowLoop
        do { loop = try FlowLoop(checker: self) } catch {
            throw .kernel("the flow check gets no descriptor: \(error)")
        }
        let starts = shared.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard starts else { return }
        do {
            try DetachedThread.start { loop.run() }
        } catch {
            throw .kernel("the flow check gets no thread: \(error)")
        }
    }

    /// Ends the thread, every flow, and the sockets of every sandbox.
    func stop() { commands.send(.stop) }

    /// Checks what arrives at these sockets, until `detach`.
    func attach(_ sandbox: Sandbox) -> UInt64 {
        let number = shared.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
        commands.send(.attach(number, sandbox))
        return number
    }

    /// Ends a sandbox's flows and closes its sockets.
    func detach(_ number: UInt64) { commands.send(.detach(number)) }
}

/// The original destination of a flow.
struct FlowTarget: Hashable, Sendable {
    var address: IPAddress
    var port: UInt16
}

/// What the flow check asks about one sandbox. Called on the checker's thread, so no method may wait.
protocol FlowPolicy: AnyObject, Sendable {
    /// Why a flow that states `name` may not begin; nil if it may.
    func refusal(_ name: DomainName, _ target: FlowTarget) -> FlowRefusal?
    /// Called with the outcome of each flow.
    func record(_ event: FlowEvent)
}

/// A flow that was allowed or refused.
struct FlowEvent: Hashable, Sendable {
    var target: FlowTarget
    var kind: FlowProtocol?
    /// nil if none could be read.
    var name: DomainName?
    /// nil if it was allowed.
    var refusal: FlowRefusal?
}

/// The flow check's sockets in a sandbox's namespace, opened before the rules redirect flows to them, and what it dials
/// from. They are closed with this object.
final class FlowEntrance: Sendable {
    private let sockets: LoopbackSockets
    /// A descriptor of the namespace; nil for this process's own.
    let namespace: CInt?

    /// - Parameter namespace: nil for this process's own.
    init(_ namespace: NetworkNamespace?) throws(EgressError) {
        sockets = try NamespaceRules.inside(namespace) { () throws(EgressError) in try LoopbackSockets.open(.flowCheck)
        }
        do throws(SystemCallError) {
            self.namespace = try namespace.map { (namespace) throws(SystemCallError) in
                try FileDescriptor(opening: namespace.path, O_RDONLY).release()
            }
        } catch {
            throw .kernel("opening \(namespace?.path ?? ""): \(error)")
        }
    }

    deinit { if let namespace { close(namespace) } }

    var listeners: LoopbackSockets.Family { sockets.tcp }
    var port: UInt16 { sockets.port }
}

/// Attaching a guard to the flow check.
extension FlowChecker {
    func attach(_ entrance: FlowEntrance, _ guardian: EgressGuard) -> UInt64 {
        attach(Sandbox(entrance: entrance, policy: guardian, flows: guardian.flows))
    }
}
