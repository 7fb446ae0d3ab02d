import DNSFilter
import Glibc
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
