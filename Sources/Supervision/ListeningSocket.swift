#if canImport(Glibc)
    import Glibc
#endif

/// Listening sockets that the supervisor keeps open while the processes that serve them end and are started again. A
/// connection that arrives in between waits in the kernel's queue. The supervisor accepts none.
package enum ListeningSocket {
    private static let backlog: CInt = 4096

    /// - Returns: the descriptor, close-on-exec.
    /// - Throws: `SupervisionError` with the system's reason.
    package static func tcp(host: String, port: Int) throws(SupervisionError) -> CInt {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &found) == 0, let address = found else {
            throw SupervisionError("looking up \(host)", code: EADDRNOTAVAIL)
        }
        defer { freeaddrinfo(found) }
        let listener = try open(address.pointee.ai_family)
        var on: CInt = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
        guard Glibc.bind(listener, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0,
            listen(listener, backlog) == 0
        else { throw failure(listener, "listening on \(host):\(port)") }
        return listener
    }

    /// Creates a socket file, replacing an earlier socket of that path.
    /// - Parameter group: the group that may connect besides root; nil for none.
    package static func unix(path: String, group: UInt32?) throws(SupervisionError) -> CInt {
        var address = try Self.address(path)
        return try bind(&address, path, group, kind: SOCK_STREAM)
    }

    /// The same for a socket that keeps the boundaries of messages (SOCK_SEQPACKET).
    package static func messages(path: String, group: UInt32?) throws(SupervisionError) -> CInt {
        var address = try Self.address(path)
        return try bind(&address, path, group, kind: SOCK_SEQPACKET)
    }

    /// Whether it still listens as at first; restores its queue. A process that shared it may have shut it down or shortened
    /// the queue, and the next process would get no connections.
    package static func isListening(_ listener: CInt) -> Bool {
        var listens: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        guard getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0, listens != 0 else {
            return false
        }
        var watched = pollfd(fd: listener, events: 0, revents: 0)
        guard poll(&watched, 1, 0) >= 0, watched.revents & Int16(POLLHUP) == 0 else { return false }
        return listen(listener, backlog) == 0
    }

    /// The port it is bound to.
    package static func port(of listener: CInt) -> Int? {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutableBytes(of: &address) { bytes -> Int? in
            let pointer = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard getsockname(listener, pointer, &length) == 0 else { return nil }
            let family = CInt(pointer.pointee.sa_family)
            guard family == AF_INET || family == AF_INET6 else { return nil }
            // Both address families have the port at this offset.
            return Int(UInt16(bigEndian: bytes.load(fromByteOffset: 2, as: UInt16.self)))
        }
    }

    static func address(_ path: String) throws(SupervisionError) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SupervisionError(path, code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return address
    }

    private static func bind(
        _ address: inout sockaddr_un, _ path: String, _ group: UInt32?, kind: __socket_type
    ) throws(SupervisionError) -> CInt {
        let listener = try open(AF_UNIX, kind)
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(listener, $0, length) }
        }
        // Set the mode before it listens, because nobody can connect until then.
        guard bound == 0, chown(path, 0, group ?? 0) == 0 || group == nil,
            chmod(path, group == nil ? 0o600 : 0o660) == 0,
            listen(listener, backlog) == 0
        else { throw failure(listener, "listening on \(path)") }
        return listener
    }

    private static func open(_ family: CInt, _ kind: __socket_type = SOCK_STREAM) throws(SupervisionError) -> CInt {
        let descriptor = socket(family, CInt(kind.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .last("making a socket") }
        return descriptor
    }

    private static func failure(_ listener: CInt, _ action: String) -> SupervisionError {
        let error = SupervisionError.last(action)
        close(listener)
        return error
    }
}
