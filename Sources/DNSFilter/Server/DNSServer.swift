import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The DNS filter of a machine: one thread answers the queries of every sandbox.
///
/// Denied names are answered here and never forwarded. For allowed ones the filter sends a query of its own to the
/// upstreams, and the policy learns the addresses before the sandbox gets them.
public final class DNSServer: Sendable {
    /// Counters since the start.
    public struct Statistics: Hashable, Sendable {
        public var queries: UInt64 = 0
        public var denied: UInt64 = 0
        public var cacheHits: UInt64 = 0
        public var upstreamQueries: UInt64 = 0
        public var failures: UInt64 = 0
        /// Messages from upstreams that match no open question: late, duplicate or forged.
        public var ignoredResponses: UInt64 = 0
    }

    enum Command: Sendable {
        case attach(DNSClient, DNSSockets, any DNSPolicy)
        case detach(DNSClient, done: @Sendable () -> Void)
        case stop
    }

    private struct Shared: Sendable {
        var nextClient: UInt64 = 1
        var isRunning = false
        var statistics = Statistics()
    }

    private let configuration: DNSConfiguration
    let commands: CommandQueue<Command>
    private let shared = Mutex(Shared())

    /// - Throws: `DNSServerError` when the kernel has no descriptors left.
    public init(configuration: DNSConfiguration) throws {
        self.configuration = configuration
        do { commands = try CommandQueue() } catch { throw DNSServerError.noDescriptor(error.code) }
    }

    public var statistics: Statistics { shared.withLock { $0.statistics } }

    /// Starts the thread. Sandboxes may be attached before or after.
    public func start() throws {
        let loop = try DNSLoop(configuration: configuration, server: self)
        let starts = shared.withLock { state in
            defer { state.isRunning = true }
            return !state.isRunning
        }
        guard starts else { return }
        do {
            try DetachedThread.start { loop.run() }
        } catch {
            throw DNSServerError.noThread(error.code)
        }
    }

    /// Ends the thread and closes the sockets of every sandbox.
    public func stop() { commands.send(.stop) }

    /// Answers queries on these sockets, under this policy, until `detach`.
    public func attach(_ sockets: DNSSockets, policy: any DNSPolicy) -> DNSClient {
        let client = shared.withLock { state in
            defer { state.nextClient += 1 }
            return DNSClient(number: state.nextClient)
        }
        commands.send(.attach(client, sockets, policy))
        return client
    }

    /// Closes a sandbox's sockets. Once `completion` is called its policy is no longer used.
    public func detach(_ client: DNSClient, completion: @escaping @Sendable () -> Void = {}) {
        commands.send(.detach(client, done: completion))
    }

    func publish(_ statistics: Statistics) { shared.withLock { $0.statistics = statistics } }
}

/// Identifies an attached sandbox.
public struct DNSClient: Hashable, Sendable {
    let number: UInt64
}

/// Why the server cannot start.
public enum DNSServerError: Error, Hashable, Sendable, CustomStringConvertible {
    case noDescriptor(Int32)
    case noThread(Int32)

    public var description: String {
        switch self {
        case .noDescriptor(let code): "the DNS filter cannot open a descriptor: \(String(cString: strerror(code)))"
        case .noThread(let code): "the DNS filter cannot start a thread: \(String(cString: strerror(code)))"
        }
    }
}
