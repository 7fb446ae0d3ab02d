import Addresses
import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The sockets by which execd listens in sandboxes that share the machine's network.
///
/// Each is held here as long as the sandbox has files: no other program, above all no other sandbox, can take the port when its
/// execd has ended, and be sent what was meant for it. A local sandbox is passed one that is bound here. A container's execd binds
/// its own, of which this has a copy.
final class SharedListeners: Sendable {
    /// By the sandbox's id.
    private let held = Mutex<[String: CInt]>([:])

    deinit { held.withLock { for socket in $0.values { close(socket) } } }

    /// Ports for a new sandbox.
    func lease(_ id: String) throws(RuntimeError) -> SharedNetwork {
        guard let socket = Self.bound(to: 0), let port = Self.port(of: socket) else {
            throw .system(action: "taking a port of the machine", reason: String(cString: strerror(errno)))
        }
        keep(socket, for: id)
        guard let free = Self.bound(to: 0), let code = Self.port(of: free) else {
            release(id)
            throw .system(action: "finding a port of the machine", reason: String(cString: strerror(errno)))
        }
        close(free)
        return SharedNetwork(execd: port, code: code)
    }

    /// Makes a socket the sandbox's, by which `LocalEngine.serves` knows it.
    func give(_ id: String, to users: IdentifierRange) throws(RuntimeError) {
        guard let socket = descriptor(of: id), fchown(socket, users.first, users.first) == 0 else {
            throw .system(action: "giving away a socket of \(id)", reason: String(cString: strerror(errno)))
        }
    }

    /// Stays this object's.
    func descriptor(of id: String) -> CInt? { held.withLock { $0[id] } }

    func release(_ id: String) {
        if let socket = held.withLock({ $0.removeValue(forKey: id) }) { close(socket) }
    }

    /// Holds the port of a sandbox of an earlier server again.
    /// - Parameter process: its first one, if it runs.
    /// - Returns: false if another program has the port.
    func takeBack(_ id: String, _ network: SharedNetwork, from process: SandboxProcess?) -> Bool {
        let socket = process.flatMap { Self.copy(of: $0, network.execd) } ?? Self.bound(to: network.execd)
        if let socket { keep(socket, for: id) }
        return socket != nil
    }

    /// - Parameter socket: becomes this object's.
    func keep(_ socket: CInt, for id: String) {
        if let old = held.withLock({ $0.updateValue(socket, forKey: id) }) { close(old) }
    }

    /// The socket that the first process of a sandbox has; nil if it has no such one.
    private static func copy(of process: SandboxProcess, _ port: UInt16) -> CInt? {
        let pidfd = linux_pidfd_open(process.pid)
        guard pidfd >= 0 else { return nil }
        defer { close(pidfd) }
        let socket = linux_pidfd_getfd(pidfd, ControlGroup.nextInside)
        guard socket >= 0 else { return nil }
        // The number may be another descriptor's.
        guard self.port(of: socket) == port else {
            close(socket)
            return nil
        }
        return socket
    }

    /// It does not listen yet: execd does that when it serves, so that nobody waits for a connection that nobody takes.
    private static func bound(to port: UInt16) -> CInt? {
        let socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        guard RawSocketAddress(.v4(SharedNetwork.address), port: port).bind(socket) == 0 else {
            let code = errno
            close(socket)
            errno = code
            return nil
        }
        return socket
    }

    /// The port of 127.0.0.1 that a socket has; nil if it has another address, or is none.
    private static func port(of socket: CInt) -> UInt16? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        }
        guard status == 0, address.sin_family == sa_family_t(AF_INET),
            IPv4Address(rawValue: UInt32(bigEndian: address.sin_addr.s_addr)) == SharedNetwork.address
        else { return nil }
        return UInt16(bigEndian: address.sin_port)
    }
}
