import CLinux
import NetworkPolicy
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The filter's event loop: waits for sockets and passes datagrams and streams on to the code that handles them. Used
/// by one thread only.
final class DNSLoop {
    /// Who asked, and how the answer gets back.
    struct Waiter: Sendable {
        enum Way: Sendable {
            case datagram(socket: CInt, peer: DatagramPeer)
            case stream(UInt64)
        }
        var client: DNSClient
        var way: Way
        var query: Query
        /// When it began to wait for upstreams, in milliseconds.
        var asked: UInt64?

        /// Bytes.
        var maxAnswer: Int {
            if case .stream = way { 65535 } else { query.payloadLimit }
        }

        var detached: Waiter { Waiter(client: client, way: way, query: query.detached, asked: asked) }
    }

    final class Client {
        let name: DNSClient
        let sockets: DNSSockets
        let policy: any DNSPolicy
        var pending = 0
        /// How many answers wait for a change of its policy.
        var held = 0
        var connections = 0

        init(_ name: DNSClient, sockets: DNSSockets, policy: any DNSPolicy) {
            self.name = name
            self.sockets = sockets
            self.policy = policy
        }
    }

    enum Source {
        case wakeUp
        case datagrams(DNSClient)
        case listener(DNSClient)
        case stream(UInt64)
        case upstream(Int, UInt64)
        case upstreamStream(UInt64)
    }

    let configuration: DNSConfiguration
    let poll: EventPoll
    /// Retained until the thread ends, because the server closes the sockets.
    private let server: DNSServer
    private let datagrams: OpaquePointer
    private let replies: ReplyBatch
    let queries: QueryBatch
    private static let batch: UInt32 = 64

    var sources: [CInt: Source] = [:]
    var clients: [DNSClient: Client] = [:]
    var streams: [UInt64: ClientStream] = [:]
    var upstreamStreams: [UInt64: UpstreamStream] = [:]
    var nextStream: UInt64 = 1
    var cache: AnswerCache
    var approvedAnswers = ApprovedAnswers()
    /// Buffers that queries are parsed into and answers are written into, reused each time.
    var queryMemory = Query.Memory()
    var message: [UInt8] = []
    /// The same for an upstream's response and its addresses.
    var responseMemory = UpstreamResponse.Memory()
    var learning: [LearnedAddress] = []
    var pending: PendingQuestions<Waiter>
    var held: [HeldAnswer] = []
    var heldTriedAt: UInt64 = 0
    var ports: [UpstreamPorts]
    var links: [UpstreamStream.Link]
    /// The last number given to a socket or stream to an upstream. Numbers are not reused, unlike descriptors.
    var lastSocketID: UInt64 = 0
    var nextProbe: UInt64 = 0
    /// Set if any upstream uses TLS.
    let tlsContext: TLSContext?
    var random = BufferedRandom()
    var statistics = DNSServer.Statistics()
    /// When the events being handled were read, in milliseconds.
    var present: UInt64 = 0
    private var isRunning = true

    init(configuration: DNSConfiguration, server: DNSServer) throws {
        self.configuration = configuration
        self.server = server
        cache = AnswerCache(capacity: configuration.cacheEntries, bytes: configuration.cacheBytes)
        pending = PendingQuestions(
            upstreams: configuration.upstreams.map { UpstreamTraits(isStream: $0.tls != nil) },
            limits: PendingLimits(timeout: configuration.timeout), randomisesCase: configuration.randomisesCase)
        links = configuration.upstreams.map { _ in UpstreamStream.Link() }
        tlsContext =
            configuration.upstreams.contains { $0.tls != nil }
            ? try TLSContext(authorities: configuration.tlsAuthorities) : nil
        ports = configuration.upstreams.map { UpstreamPorts(upstream: $0, mark: configuration.upstreamMark) }
        do throws(SystemCallError) { poll = try EventPoll() } catch { throw DNSServerError.noDescriptor(error.code) }
        guard let pool = linux_datagrams_create(Self.batch, 4096), let replies = ReplyBatch(),
            let queries = QueryBatch()
        else {
            throw DNSServerError.noDescriptor(errno)
        }
        datagrams = pool
        self.replies = replies
        self.queries = queries
        watch(server.commands.descriptor, .wakeUp)
    }

    deinit { linux_datagrams_destroy(datagrams) }

    func run() {
        var events = EventPoll.events()
        var heldSince: UInt64 = 0
        while isRunning {
            let isHolding = !(queries.isEmpty && replies.isEmpty)
            guard let count = try? poll.wait(&events, milliseconds: isHolding ? 0 : waitTime()) else { break }
            // Send everything that was ready in this batch together, but do not wait for more.
            if count == 0 {
                flush()
                present = now()
            }
            for index in 0..<count {
                present = now()
                if present != heldSince { flush() }
                if queries.isEmpty && replies.isEmpty { heldSince = present }
                handle(CInt(truncatingIfNeeded: events[index].data), events[index].events)
            }
            expire()
            server.publish(statistics)
        }
        flush()
        for descriptor in sources.keys where descriptor != server.commands.descriptor { close(descriptor) }
    }

    /// Milliseconds of a monotonic clock.
    func now() -> UInt64 { SystemClock.monotonicMilliseconds() }

    func watch(_ descriptor: CInt, _ source: Source, events: UInt32 = LINUX_EPOLLIN) {
        sources[descriptor] = source
        poll.add(descriptor, events, token: Self.token(descriptor))
    }

    /// What reports name a descriptor by.
    static func token(_ descriptor: CInt) -> UInt64 { UInt64(UInt32(bitPattern: descriptor)) }

    func drop(_ descriptor: CInt) {
        guard sources.removeValue(forKey: descriptor) != nil else { return }
        // Flush first: no socket may be closed while a message for it waits.
        flush()
        close(descriptor)
    }

    /// Sends the batches. Questions that could not be sent go to another upstream, or fail.
    private func flush() {
        while !queries.isEmpty { flushQueries() }
        replies.flush()
    }

    private func waitTime() -> Int32 {
        var next = min(pending.nextDeadline ?? .max, nextProbeTime ?? .max, nextHeldTry ?? .max)
        if streams.isEmpty && upstreamStreams.isEmpty {
            guard next < .max else { return -1 }
        } else {
            next = min(next, now() + 1000)
        }
        let present = now()
        return next > present ? Int32(clamping: next - present) : 0
    }

    private func handle(_ descriptor: CInt, _ events: UInt32) {
        // An earlier event in the same batch may have closed the descriptor.
        guard let source = sources[descriptor] else { return }
        switch source {
        case .wakeUp: obey(server.commands.take())
        case .datagrams(let client): readDatagrams(descriptor, client)
        case .listener(let client): acceptStreams(descriptor, client)
        case .stream(let number): serveStream(number, events)
        case .upstream(let index, let socketID): readUpstream(descriptor, index, socketID)
        case .upstreamStream(let number): serveUpstreamStream(number, events)
        }
    }

    private func obey(_ commands: [DNSServer.Command]) {
        for command in commands {
            switch command {
            case .attach(let client, let sockets, let policy):
                clients[client] = Client(client, sockets: sockets, policy: policy)
                for socket in sockets.udp { watch(socket, .datagrams(client)) }
                for socket in sockets.tcp { watch(socket, .listener(client)) }
            case .detach(let client, let done):
                remove(client)
                done()
            case .stop:
                isRunning = false
            }
        }
    }

    private func remove(_ client: DNSClient) {
        guard let leaving = clients.removeValue(forKey: client) else { return }
        for socket in leaving.sockets.udp + leaving.sockets.tcp { drop(socket) }
        for (number, stream) in streams where stream.client == client { closeStream(number) }
        pending.removeWaiters { $0.client == client }
        held.removeAll { $0.waiter.client == client }
    }

    private func readDatagrams(_ socket: CInt, _ name: DNSClient) {
        guard let client = clients[name] else { return }
        // A few batches per turn, so that a flood by one sandbox does not delay the others.
        for turn in 0..<4 {
            let count = linux_datagrams_receive(datagrams, socket, Self.batch)
            guard count > 0 else { return }
            if turn > 0 { present = now() }
            for slot in 0..<UInt32(count) {
                let length = Int(linux_datagrams_length(datagrams, slot))
                let bytes = UnsafeRawBufferPointer(start: linux_datagrams_bytes(datagrams, slot), count: length)
                let peer = DatagramPeer(
                    UnsafeRawBufferPointer(
                        start: linux_datagrams_peer(datagrams, slot),
                        count: Int(linux_datagrams_peer_length(datagrams, slot))))
                receive(bytes, from: client, by: .datagram(socket: socket, peer: peer))
            }
            if UInt32(count) < Self.batch { return }
        }
    }

    private func readUpstream(_ socket: CInt, _ index: Int, _ socketID: UInt64) {
        let count = linux_datagrams_receive(datagrams, socket, Self.batch)
        if count == -ECONNREFUSED || count == -EHOSTUNREACH || count == -ENETUNREACH {
            return upstreamRefused(index, socketID)
        }
        guard count > 0 else { return }
        for slot in 0..<UInt32(count) {
            let length = Int(linux_datagrams_length(datagrams, slot))
            receiveUpstream(
                UnsafeRawBufferPointer(start: linux_datagrams_bytes(datagrams, slot), count: length),
                from: ResponseOrigin(upstream: index, socketID: socketID, overTCP: false))
        }
    }

    /// Sends what `write` puts into an empty array.
    func reply(by way: Waiter.Way, _ write: (inout [UInt8]) -> Void) {
        message.removeAll(keepingCapacity: true)
        write(&message)
        switch way {
        case .datagram(let socket, let peer): replies.add(message, to: peer, by: socket)
        case .stream(let number): send(StreamBuffer.framed(message), onStream: number)
        }
    }
}
