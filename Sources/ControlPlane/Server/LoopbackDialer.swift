import Addresses
import Ingress
import NIOCore
import Netfilter
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Dials loopback inside a sandbox: a thread enters its network namespace, makes a connection there and ends; the descriptor
/// stays bound to the namespace. The sandbox's rules hold for nothing of it: it is the sandbox's own loopback.
final class LoopbackDialer: InsideDialer {
    private typealias Dial = @Sendable () -> Void

    /// Where the namespace of a sandbox is; nil where it has none now.
    private let namespacePath: @Sendable (_ incarnation: String) -> String?
    private let queue = Mutex(DialQueue<Dial>())

    /// A server that takes longer has a full queue.
    private static let patience = timeval(tv_sec: 0, tv_usec: 900_000)
    /// Inside, this port of every address is the guard's.
    private static let guardedPort = 53

    enum UnreachableError: Error { case unreachable }

    init(namespacePath: @escaping @Sendable (_ incarnation: String) -> String?) { self.namespacePath = namespacePath }

    func dial(inside incarnation: String, port: Int, on loop: any EventLoop) -> EventLoopFuture<CInt> {
        guard let port = UInt16(exactly: port), port != Self.guardedPort, let path = namespacePath(incarnation) else {
            return loop.makeFailedFuture(UnreachableError.unreachable)
        }
        let promise = loop.makePromise(of: CInt.self)
        let dial: Dial = { [self] in
            promise.completeWith(Result { try NetworkNamespace(existing: path).run { try Self.connect(port) } })
            let next = queue.withLock { $0.end(incarnation) }
            if let next { start(next.dial, of: next.key) }
        }
        switch queue.withLock({ $0.ask(dial, of: incarnation) }) {
        case .now: start(dial, of: incarnation)
        case .later: break
        case .never: promise.fail(UnreachableError.unreachable)
        }
        return promise.futureResult
    }

    /// Where the system has no thread left the dial is made here: it has been promised.
    private func start(_ dial: @escaping Dial, of key: String) {
        do throws(SystemCallError) { try DetachedThread.start(dial) } catch { dial() }
    }

    private static func connect(_ port: UInt16) throws -> CInt {
        do {
            return try connect(to: RawSocketAddress(IPAddress("127.0.0.1")!, port: port))
        } catch let error as IOError where error.errnoCode == ECONNREFUSED {
            // A server that listens on ::1, or on IPv6 only.
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
