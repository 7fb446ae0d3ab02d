import Synchronization

/// Which ports of sandboxes speak HTTP/2, for all event loops. Remembered as long as a connection that has shown it is
/// open, so a server that ends is forgotten with its connections.
final class HTTP2Ports: Sendable {
    private struct Port: Hashable, Sendable {
        var incarnation: String
        var address: Backend.Address
    }

    private let connections = Mutex<[Port: Int]>([:])

    func contains(_ backend: Backend) -> Bool {
        connections.withLock { connections in
            !connections.isEmpty && connections[Self.port(backend)] != nil
        }
    }

    func opened(_ backend: Backend) { connections.withLock { $0[Self.port(backend), default: 0] += 1 } }

    func closed(_ backend: Backend) {
        connections.withLock { connections in
            let port = Self.port(backend)
            guard let count = connections[port] else { return }
            connections[port] = count > 1 ? count - 1 : nil
        }
    }

    private static func port(_ backend: Backend) -> Port {
        Port(incarnation: backend.incarnation, address: backend.address)
    }
}
