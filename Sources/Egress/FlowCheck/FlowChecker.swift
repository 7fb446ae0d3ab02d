import CLinux
import DNSFilter
import Glibc
import Synchronization

/// Checks the flows of every sandbox that a name opens an address to: one thread reads whom each means, has its policy
/// judge that, and relays what may pass (mode `dns+nft+sni`).
public final class FlowChecker: Sendable {
    /// Listening sockets on loopback of a sandbox's namespace, non-blocking. The checker owns them from `attach` on.
    struct Listeners: Sendable {
        var ipv4: CInt?
        var ipv6: CInt?
        var port: UInt16

        func close() { for descriptor in [ipv4, ipv6].compactMap(\.self) { Glibc.close(descriptor) } }
    }

    struct Sandbox: Sendable {
        var listeners: Listeners
        /// A descriptor of the namespace that its flows are dialled from; nil for that of this process.
        var namespace: CInt?
        var policy: any FlowPolicy
        var flows: OpenFlows
    }

    enum Command: Sendable {
        case attach(UInt64, Sandbox)
        case detach(UInt64)
        case stop
    }

    private struct Shared: Sendable {
        var commands: [Command] = []
        var next: UInt64 = 1
        var isRunning = false
    }

    let settings: FlowCheckSettings
    /// What tells the checker's own sockets from those of the sandboxes.
    let mark: SocketMark
    private let wakeUp: CInt
    private let shared = Mutex(Shared())

    /// - Throws: `EgressError` when the kernel has no descriptors left.
    init(_ settings: FlowCheckSettings, mark: SocketMark) throws(EgressError) {
        self.settings = settings
        self.mark = mark
        wakeUp = linux_eventfd()
        guard wakeUp >= 0 else {
            throw .kernel("the flow check gets no descriptor: \(String(cString: strerror(errno)))")
        }
    }

    deinit { close(wakeUp) }

    /// Starts the thread. Sandboxes may be attached before and after.
    func start() throws(EgressError) {
        guard let loop = FlowLoop(checker: self, wakeUp: wakeUp) else {
            throw .kernel("the flow check gets no descriptor: \(String(cString: strerror(errno)))")
        }
        let starts = shared.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard starts else { return }
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<FlowLoop>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(loop).toOpaque())
        guard status == 0 else { throw .kernel("the flow check gets no thread: \(String(cString: strerror(status)))") }
        pthread_detach(thread)
    }

    /// Ends the thread, every flow, and the sockets of every sandbox.
    func stop() { send(.stop) }

    /// Checks what arrives at these sockets, from now until `detach`.
    func attach(_ sandbox: Sandbox) -> UInt64 {
        let number = shared.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
        send(.attach(number, sandbox))
        return number
    }

    /// Ends a sandbox's flows and closes its sockets.
    func detach(_ number: UInt64) { send(.detach(number)) }

    private func send(_ command: Command) {
        shared.withLock { $0.commands.append(command) }
        var one: UInt64 = 1
        write(wakeUp, &one, 8)
    }

    func takeCommands() -> [Command] {
        var count: UInt64 = 0
        read(wakeUp, &count, 8)
        return shared.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }
}
