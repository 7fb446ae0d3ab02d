import NIOCore

/// Where a directory is served: `unix:/path`, or `host:port` with a literal address.
package struct DirectoryAddress: Hashable, Sendable, CustomStringConvertible {
    package enum Place: Hashable, Sendable {
        case unix(path: String)
        case tcp(host: String, port: Int)
    }

    package var place: Place

    package init(_ place: Place) { self.place = place }

    /// - Throws: `DirectoryError.invalidAddress`.
    package init(_ text: String) throws(DirectoryError) {
        if text.hasPrefix("unix:") {
            let path = String(text.dropFirst(5))
            guard path.hasPrefix("/"), (2...107).contains(path.utf8.count) else { throw .invalidAddress(text) }
            place = .unix(path: path)
            return
        }
        let bare = text.hasPrefix("tcp:") ? String(text.dropFirst(text.hasPrefix("tcp://") ? 6 : 4)) : text
        guard let colon = bare.lastIndex(of: ":"), let port = Int(bare[bare.index(after: colon)...]),
            (1...65535).contains(port)
        else { throw .invalidAddress(text) }
        var host = String(bare[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard (try? SocketAddress(ipAddress: host, port: port)) != nil else { throw .invalidAddress(text) }
        place = .tcp(host: host, port: port)
    }

    /// Whether other machines can reach it, and could read the traffic.
    package var leavesMachine: Bool {
        switch place {
        case .unix: false
        case .tcp(let host, _): !(host == "::1" || host.hasPrefix("127."))
        }
    }

    func socketAddress() throws -> SocketAddress {
        switch place {
        case .unix(let path): try SocketAddress(unixDomainSocketPath: path)
        case .tcp(let host, let port): try SocketAddress(ipAddress: host, port: port)
        }
    }

    package var description: String {
        switch place {
        case .unix(let path): "unix:" + path
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }
}
