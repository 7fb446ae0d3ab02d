import Addresses
import CCurl
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Sends requests and receives answers, over libcurl: HTTP/1.1 or HTTP/2, over TCP, TLS or a unix socket.
///
/// Connections are kept and used again. Redirects are answers like others and are never followed. A client has one thread,
/// from its first request on; nothing of libcurl is loaded before (see CCurl).
package final class HTTPClient: Sendable {
    /// SO_MARK and SO_PRIORITY of a socket. A socket that cannot be marked is not used.
    package struct SocketMark: Hashable, Sendable {
        package var mark: UInt32
        package var priority: UInt32

        package init(mark: UInt32, priority: UInt32) {
            self.mark = mark
            self.priority = priority
        }
    }

    /// For requests that need no mark.
    package static let shared = HTTPClient()

    /// nil: libcurl can be used.
    private static let defect: String? = {
        var reason = [CChar](repeating: 0, count: 200)
        let isLoaded = ccurl_load(&reason, reason.count)
        return isLoaded ? nil : String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    private let mark: SocketMark?
    private let resolve: @Sendable (_ host: String) -> [IPAddress]
    private let loop = Mutex<TransferLoop?>(nil)
    /// Look-ups wait in system calls.
    private let resolvers = WorkerPool(maxThreads: 4)

    /// - Parameter resolve: a name's addresses; the machine's resolver unless it is given. May block.
    package init(
        mark: SocketMark? = nil, resolve: @escaping @Sendable (_ host: String) -> [IPAddress] = HTTPClient.system
    ) {
        self.mark = mark
        self.resolve = resolve
    }

    deinit { loop.withLock { $0 }?.send(.stop) }

    /// Loads libcurl now: for a process that can load nothing later.
    /// - Throws: `unavailable`.
    package static func load() throws(HTTPClientError) { if let defect { throw .unavailable(defect) } }

    // MARK: Requests

    /// Sends a request and collects its answer, of at most `peer.limits.body` bytes.
    package func send(_ request: ClientRequest, to peer: HTTPPeer) async throws(HTTPClientError) -> ClientResponse {
        let stream = try await start(request, to: peer, isCollected: true)
        var body: [UInt8] = []
        while let chunk = try await stream.body.next() { body += chunk }
        return ClientResponse(head: stream.head, body: body)
    }

    /// Sends a request and gives its answer as soon as the head has come. The transfer ends when the stream does, or when
    /// nobody has it any more.
    package func stream(_ request: ClientRequest, to peer: HTTPPeer) async throws(HTTPClientError) -> ResponseStream {
        try await start(request, to: peer, isCollected: false)
    }

    private func start(
        _ request: ClientRequest, to peer: HTTPPeer, isCollected: Bool
    ) async throws(HTTPClientError) -> ResponseStream {
        try Self.load()
        try request.check(peer)
        if Task.isCancelled { throw .cancelled }
        let transfer = Transfer(request, to: peer, isCollected: isCollected)
        let loop = try running()
        let body = ResponseBody(transfer, loop: loop, client: self)
        loop.send(.start(transfer))
        if case .stream(_, let next) = request.body { body.upload(next) }
        let head = await withTaskCancellationHandler {
            await transfer.head()
        } onCancel: {
            loop.send(.cancel(transfer))
        }
        return ResponseStream(head: try head.get(), body: body, maxLine: peer.limits.line)
    }

    private func running() throws(HTTPClientError) -> TransferLoop {
        try loop.withLock { loop throws(HTTPClientError) in
            if let loop { return loop }
            let made = try TransferLoop(mark: mark) { [resolvers, resolve] host, answer in
                resolvers.submit { answer(resolve(host)) }
            }
            loop = made
            return made
        }
    }

    // MARK: Names

    /// The machine's own resolver.
    @Sendable package static func system(_ host: String) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [IPAddress] = []
        var next = list
        while let entry = next {
            let bytes = UnsafeRawBufferPointer(start: entry.pointee.ai_addr, count: Int(entry.pointee.ai_addrlen))
            if let address = RawSocketAddress(bytes: Array(bytes)).address { found.append(address) }
            next = entry.pointee.ai_next
        }
        return found
    }
}
