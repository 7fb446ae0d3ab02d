import Addresses
import Ingress
import NIOCore
import Runtimes
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Connects to loopback inside a sandbox: a thread connects in its network and ends; the descriptor stays bound to the
/// network namespace. The sandbox's rules do not apply to its own loopback.
final class LoopbackDialer: InsideDialer {
    private typealias Dial = @Sendable () -> Void

    private let runtime: any SandboxRuntime
    /// The sandbox; nil if it cannot be entered at the moment.
    private let sandbox: @Sendable (_ incarnation: String) -> String?
    private let queue = Mutex(FairQueue<Dial>())

    /// The time limit; a server that takes longer has a full backlog.
    private static let patience = timeval(tv_sec: 0, tv_usec: 900_000)
    /// This port belongs to the guard on every address inside.
    private static let guardedPort = 53

    enum UnreachableError: Error { case unreachable }

    init(_ runtime: any SandboxRuntime, sandbox: @escaping @Sendable (_ incarnation: String) -> String?) {
        self.runtime = runtime
        self.sandbox = sandbox
    }

    func dial(inside incarnation: String, port: Int, on loop: any EventLoop) -> EventLoopFuture<CInt> {
        guard let port = UInt16(exactly: port), port != Self.guardedPort, let id = sandbox(incarnation) else {
            return loop.makeFailedFuture(UnreachableError.unreachable)
        }
        let promise = loop.makePromise(of: CInt.self)
        let dial: Dial = { [self] in
            promise.completeWith(Result { try connect(id, port) })
            let next = queue.withLock { $0.end(incarnation) }
            if let next { start(next.job, of: next.key) }
        }
        switch queue.withLock({ $0.ask(dial, of: incarnation) }) {
        case .now: start(dial, of: incarnation)
        case .later: break
        case .never: promise.fail(UnreachableError.unreachable)
        }
        return promise.futureResult
    }

    /// If no thread can be created, dial on this one, since the dial has been promised.
    private func start(_ dial: @escaping Dial, of key: String) {
        do throws(SystemCallError) { try DetachedThread.start(dial) } catch { dial() }
    }

    /// Where others listen as well, only to what is the sandbox's: another one may listen there, too, for the moment between two looks,
    /// and would have accepted the connection by then. What nobody has accepted waits for one of those that the second look found.
    private func connect(_ id: String, _ port: UInt16) throws -> CInt {
        let refused = IOError(errnoCode: ECONNREFUSED, reason: "connect")
        guard runtime.serves(id, port: port) else { throw refused }
        let connection = try runtime.inside(id) { try Self.connect(port) }
        guard runtime.serves(id, port: port), runtime.serves(id, connection: connection) else {
            close(connection)
            throw refused
        }
        return connection
    }

    private static func connect(_ port: UInt16) throws -> CInt {
        do {
            return try connect(to: RawSocketAddress(IPAddress("127.0.0.1")!, port: port))
        } catch let error as IOError where error.errnoCode == ECONNREFUSED {
            // The server may listen on ::1 or on IPv6 only.
            return try connect(to: RawSocketAddress(IPAddress("::1")!, port: port))
        }
    }

    private static func connect(to address: RawSocketAddress) throws -> CInt {
        let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        var patience = Self.patience, on: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, CInt(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<CInt>.size))
        guard address.connect(descriptor) == 0 else {
            let code = errno
            close(descriptor)
            throw IOError(errnoCode: code, reason: "connect")
        }
        var none = timeval()
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &none, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }
}
