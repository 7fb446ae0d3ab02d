import System

#if canImport(Glibc)
    import Glibc
#endif

/// Sends POST requests over HTTP/1.1, one connection each, on the calling thread. For notices and metrics, not for high
/// volumes.
///
/// Smaller than an HTTP library, for a program that runs once per sandbox.
public struct HTTPPoster: Sendable {
    /// Milliseconds for all of one post.
    public var timeout: UInt64
    /// Called with the socket before it connects, to set marks in a shared namespace.
    public var prepare: @Sendable (CInt) -> Void
    package var resolve: @Sendable (_ host: String, _ port: UInt16) -> [RawSocketAddress]

    package init(
        timeout: UInt64 = 5000, prepare: @escaping @Sendable (CInt) -> Void = { _ in },
        resolve: @escaping @Sendable (_ host: String, _ port: UInt16) -> [RawSocketAddress] = HTTPPoster.system
    ) {
        self.timeout = timeout
        self.prepare = prepare
        self.resolve = resolve
    }

    public func post(_ post: HTTPPost) throws(HTTPClientError) -> HTTPReply {
        let deadline = Deadline(milliseconds: timeout)
        let addresses = resolve(post.endpoint.host, post.endpoint.port)
        guard !addresses.isEmpty else { throw .unresolved(host: post.endpoint.host) }
        var failure = HTTPClientError.timedOut
        for address in addresses {
            let socket: CInt
            do throws(HTTPClientError) {
                socket = try connect(address, deadline)
            } catch {
                failure = error
                continue
            }
            defer { close(socket) }
            var channel: any ByteChannel = PlainChannel(socket: socket, deadline: deadline)
            if post.endpoint.isSecure {
                channel = try SecureChannel(socket: socket, host: post.endpoint.host, deadline: deadline)
            }
            return try Self.exchange(post, channel)
        }
        throw failure
    }

    private static func exchange(_ post: HTTPPost, _ channel: any ByteChannel) throws(HTTPClientError) -> HTTPReply {
        try channel.send(post.bytes)
        var received: [UInt8] = []
        while true {
            let more = try channel.receive()
            guard !more.isEmpty else { throw .malformed }
            received += more
            if let reply = try HTTPReply.parse(received) { return reply }
        }
    }

    private func connect(_ address: RawSocketAddress, _ deadline: Deadline) throws(HTTPClientError) -> CInt {
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue)
        let socket = Glibc.socket(address.family, kind, 0)
        guard socket >= 0 else { throw .unreachable(errno: errno) }
        prepare(socket)
        let status = address.connect(socket)
        do throws(HTTPClientError) {
            if status != 0 {
                guard errno == EINPROGRESS else { throw .unreachable(errno: errno) }
                try deadline.wait(for: socket, POLLOUT)
                var code: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
                guard code == 0 else { throw .unreachable(errno: code) }
            }
        } catch {
            close(socket)
            throw error
        }
        return socket
    }

    /// The machine's own resolver.
    @Sendable package static func system(_ host: String, _ port: UInt16) -> [RawSocketAddress] {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [RawSocketAddress] = []
        var next = list
        while let entry = next {
            let bytes = UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
            found.append(RawSocketAddress(bytes: Array(bytes)))
            next = entry.pointee.ai_next
        }
        return found
    }
}

/// A point in time at which waiting ends.
struct Deadline: Sendable {
    private let end: UInt64

    init(milliseconds: UInt64) { end = SystemClock.monotonicMilliseconds() + milliseconds }

    func wait(for socket: CInt, _ event: Int32) throws(HTTPClientError) {
        while true {
            let now = SystemClock.monotonicMilliseconds()
            guard now < end else { throw .timedOut }
            var entry = pollfd(fd: socket, events: Int16(event), revents: 0)
            let count = poll(&entry, 1, Int32(clamping: end - now))
            if count > 0 { return }
            if count < 0 && errno != EINTR { throw .unreachable(errno: errno) }
        }
    }
}

/// A bidirectional byte stream.
protocol ByteChannel {
    func send(_ bytes: [UInt8]) throws(HTTPClientError)
    /// Empty at the end of the stream.
    func receive() throws(HTTPClientError) -> [UInt8]
}

struct PlainChannel: ByteChannel {
    let socket: CInt
    let deadline: Deadline

    func send(_ bytes: [UInt8]) throws(HTTPClientError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                try deadline.wait(for: socket, POLLOUT)
            } else if errno != EINTR {
                throw .unreachable(errno: errno)
            }
        }
    }

    func receive() throws(HTTPClientError) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(socket, &chunk, chunk.count, 0)
            if count >= 0 { return Array(chunk[..<count]) }
            if errno == EAGAIN {
                try deadline.wait(for: socket, POLLIN)
            } else if errno != EINTR {
                throw .unreachable(errno: errno)
            }
        }
    }
}
