import HTTPServer
import HTTPWire
import Logging
import NIOCore
import NIOHTTP1
import Tracing

/// The way of one exchange: to a sandbox's connection, and back.
extension ClientConnection {
    func open(_ head: HTTPRequestHead, _ admitted: ProxyTarget) throws(ProxyError) {
        var target = admitted
        let scheme = target.scheme ?? carrier.scheme
        target.scheme = scheme
        let upgrade = try Upgrade(head)
        var asked: String?
        if case .to(let name) = upgrade { asked = name }
        let outgoing = policy.rules.request(
            head, target: target.target, backend: target.backend, peer: target.client ?? peer, scheme: scheme,
            upgrade: asked, trace: span?.context, id: record?.id)
        // The parser takes nothing after a request for another protocol, agreed to or not.
        let keepsAlive = head.persists && upgrade == .none && !carrier.isSingleRequest
        let exchange = Exchange(
            request: head, target: target, outgoing: outgoing, upgrade: upgrade, keepsAlive: keepsAlive)
        if carrier.isSingleRequest, upgrade == .none, case .tcp = target.backend.address {
            exchange.isGRPC = GRPC.isAsked(for: head.headers)
            exchange.usesStream = exchange.isGRPC || pool.speaksHTTP2(target.backend)
        }
        phase = .exchanging(exchange)
        if !exchange.usesStream, let connection = pool.take(target.backend) {
            attach(connection, exchange)
        } else {
            connect(exchange)
        }
    }

    private func connect(_ exchange: Exchange) {
        let backend = exchange.target.backend
        let connection = exchange.usesStream ? pool.openStream(backend) : pool.connect(backend)
        connection.assumeIsolated().whenComplete { [self] result in
            guard isCurrent(exchange), context != nil else {
                if case .success(let connection) = result { connection.release(reusable: true) }
                return
            }
            switch result {
            case .success(let connection):
                attach(connection, exchange)
                connection.flush()
                resumeReading()
            case .failure(let error):
                var metadata: Logger.Metadata = ["error": "\(ConnectionFailure.reason(error))"]
                if let id = record?.id { metadata["request"] = "\(id)" }
                logger.debug("sandbox not reached", metadata: metadata)
                switch error {
                case ChannelError.connectTimeout: fail(.timeout)
                case DialError.refusedAtAddress: fail(.refusedAtAddress)
                default: fail(.connectionFailed)
                }
            }
        }
    }

    private func isCurrent(_ exchange: Exchange) -> Bool {
        if case .exchanging(let current) = phase { current === exchange } else { false }
    }

    private func attach(_ connection: BackendConnection, _ exchange: Exchange) {
        exchange.backend = connection
        connection.attach(self)
        connection.write(exchange.outgoing)
        let waiting = exchange.waiting
        exchange.waiting = []
        for part in waiting { send(part, exchange) }
    }

    func send(_ part: BodyPart, _ exchange: Exchange) {
        guard let backend = exchange.backend else { return exchange.waiting.append(part) }
        if case .bytes = part { exchange.bodySent = true }
        backend.write(part)
    }

    // MARK: from the sandbox

    var takesResponse: Bool { context?.channel.isWritable ?? true }

    func backendSent(_ part: ResponsePart, _ connection: BackendConnection) {
        guard case .exchanging(let exchange) = phase, exchange.backend === connection else { return connection.close() }
        switch part {
        case .head(let head) where head.code == 101:
            guard case .to = exchange.upgrade, carrier.agrees(head) else { return fail(.responseFailed) }
            exchange.switching = head
        case .head(let head) where head.code < 200:
            guard exchange.clientCanChunk else { return }
            write(policy.rules.response(head, toHEAD: false, canChunk: true))
        case .head(let head): relay(head, exchange)
        case .body(.bytes(let bytes)):
            record?.bytesOut &+= bytes.readableBytes
            write(.bytes(bytes))
        case .body(.end(let trailers)):
            if let head = exchange.switching {
                startTunnel(head, exchange, connection)
            } else {
                finish(trailers, exchange, connection)
            }
        }
    }

    private func relay(_ head: ReceivedResponse, _ exchange: Exchange) {
        if case .to = exchange.upgrade,
            policy.closesRefusedWebSockets || (carrier.asksByMethod && head.code < 300)
        {
            return fail(.upgradeRefused)
        }
        exchange.responseStarted = true
        span?.answered(head.code)
        record?.answered(head.code)
        exchange.noteFraming(of: head)
        var response = policy.rules.response(
            head, toHEAD: exchange.request.method == .HEAD, canChunk: exchange.clientCanChunk)
        exchange.keepsAlive = keepsAlive(after: exchange, response)
        if !exchange.keepsAlive {
            response.add("connection", "close")
        } else if !exchange.clientCanChunk {
            response.add("connection", "keep-alive")
        }
        policy.finish(&response, to: exchange.request, target: exchange.target)
        write(consume response)
    }

    /// A response to an HTTP/1.0 client without a length ends with the connection.
    private func keepsAlive(after exchange: Exchange, _ response: OutgoingResponse) -> Bool {
        exchange.keepsAlive && !isQuiescing
            && (exchange.clientCanChunk || response.hasLength || !ResponseStatus.mayHaveBody(response.code))
    }

    private func finish(_ trailers: HTTPHeaders?, _ exchange: Exchange, _ connection: BackendConnection) {
        write(.end(trailers.map { policy.rules.trailers($0, backend: exchange.target.backend) }))
        connection.release(reusable: exchange.requestEnded && exchange.leavesBackendOpen)
        complete(keepsAlive: exchange.keepsAlive, requestEnded: exchange.requestEnded)
    }

    func backendReadComplete() {
        context?.flush()
        if case .exchanging(let exchange) = phase, exchange.responseStarted, takesResponse {
            deadline.set(limits.streamTimeout)
        }
    }

    func backendWritabilityChanged() { resumeReading() }

    func backendEnded(_ connection: BackendConnection) {
        guard case .exchanging(let exchange) = phase, exchange.backend === connection else { return }
        guard !exchange.responseStarted else { return abort() }
        guard exchange.mayRetry(on: connection) else { return fail(connection.failure) }
        exchange.isRetry = true
        exchange.backend = nil
        if exchange.requestEnded { exchange.waiting = [.end(nil)] }
        connect(exchange)
    }

    private func startTunnel(_ head: ReceivedResponse, _ exchange: Exchange, _ connection: BackendConnection) {
        var response = policy.rules.response(head, toHEAD: false, canChunk: true)
        response.add("connection", "upgrade")
        for value in head.headers["upgrade"] { response.add("upgrade", value) }
        policy.finish(&response, to: exchange.request, target: exchange.target)
        write(consume response)
        context.flush()
        span?.answered(head.code)
        record?.answered(head.code)
        Tunnel.start(client: self, backend: connection, limits: limits)
    }
}
