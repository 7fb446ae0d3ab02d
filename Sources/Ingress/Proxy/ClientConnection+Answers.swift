import HTTPWire
import NIOCore
import NIOHTTP1

/// Answers that no sandbox gave, and how an exchange ends.
extension ClientConnection {
    func write(_ head: consuming OutgoingResponse) { carrier.write(head, from: context) }

    func write(_ part: BodyPart) { carrier.write(part, from: context) }

    func answer(_ request: HTTPRequestHead, _ text: String) {
        span?.answered(200)
        record?.answered(200)
        send(ErrorPage.plain(text), .ok, to: request, target: nil, closes: false, retryAfter: nil)
        complete(keepsAlive: request.persists && !isQuiescing && !carrier.isSingleRequest, requestEnded: false)
    }

    func refuse(_ request: HTTPRequestHead, _ error: ProxyError) {
        let closes =
            error.closes || !request.persists || isQuiescing || carrier.isSingleRequest
            || request.headers.contains(name: "upgrade")
        send(error, to: request, target: nil, closes: closes)
        complete(keepsAlive: !closes, requestEnded: false)
    }

    /// Ends the exchange with an error, or the connection where the response has begun.
    func fail(_ error: ProxyError) {
        guard context != nil else { return }
        var request = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        var target: ProxyTarget?
        var keepsAlive = false
        var requestEnded = true
        // What could not be read is a request all the same.
        if record == nil { record = RequestRecord(nil, policy.routeKind) }
        if case .exchanging(let exchange) = phase {
            exchange.backend?.close()
            guard !exchange.responseStarted else { return abort() }
            (request, target) = (exchange.request, exchange.target)
            (keepsAlive, requestEnded) = (exchange.keepsAlive, exchange.requestEnded)
        }
        let closes = error.closes || !keepsAlive || isQuiescing
        send(error, to: request, target: target, closes: closes)
        complete(keepsAlive: !closes, requestEnded: requestEnded)
    }

    private func send(_ error: ProxyError, to asked: HTTPRequestHead, target: ProxyTarget?, closes: Bool) {
        var request = asked
        // Whoever got it can say which line of the log is about it.
        let id = record?.id ?? RequestID.put(into: &request.headers)
        record?.id = id
        record?.answered(Int(error.status.code), code: error.code)
        span?.answered(Int(error.status.code))
        IngressMetrics.refused(error.code, record?.kind ?? .none)
        if carrier.isSingleRequest, GRPC.isAsked(for: request.headers) {
            var head = GRPC.answer(error)
            head.add(RequestID.header, id)
            write(head)
            write(.end(nil))
        } else if policy.closesRefusedWebSockets, let refusal = WebSocketRefusal(of: request, error) {
            var head = OutgoingResponse(refusal.head)
            policy.finish(&head, to: request, target: target)
            write(head)
            write(.bytes(refusal.closeFrame))
            write(.end(nil))
        } else {
            send(
                ErrorPage.of(error, for: request), error.status, to: request, target: target, closes: closes,
                retryAfter: error.retryAfter, id: policy.namesAnswers ? nil : id)
        }
    }

    private func send(
        _ page: ErrorPage, _ status: HTTPResponseStatus, to request: HTTPRequestHead, target: ProxyTarget?,
        closes: Bool, retryAfter: Int?, id: String? = nil
    ) {
        var head = OutgoingResponse(
            version: request.version == .http1_0 ? .http1_0 : .http1_1, code: Int(status.code))
        head.add("content-type", page.contentType)
        head.addLength(page.text.utf8.count)
        head.add("cache-control", "no-store")
        if let id { head.add(RequestID.header, id) }
        if let retryAfter { head.add("retry-after", String(retryAfter)) }
        if closes {
            head.add("connection", "close")
        } else if request.version == .http1_0 {
            head.add("connection", "keep-alive")
        }
        policy.finish(&head, to: request, target: target)
        write(head)
        if request.method != .HEAD { record?.bytesOut &+= page.text.utf8.count }
        if request.method != .HEAD { write(.bytes(ByteBuffer(string: page.text))) }
        write(.end(nil))
    }

    /// The response is written: the connection goes on, or ends when the client has it.
    func complete(keepsAlive: Bool, requestEnded: Bool) {
        settle()
        guard keepsAlive else {
            phase = .lingering
            context.flush()
            // A stream has no end but its last frame, which may wait for the client's window.
            deadline.set(carrier.isSingleRequest ? limits.stallTimeout : limits.lingerTimeout)
            context.close(mode: .output, promise: nil)
            resumeReading()
            return
        }
        if requestEnded {
            context.flush()
            becomeIdle()
        } else {
            phase = .draining
            context.flush()
            deadline.set(limits.lingerTimeout)
            resumeReading()
        }
    }

    /// Ends the connection in the middle: a broken response is never taken for a complete one.
    func abort() {
        if case .exchanging(let exchange) = phase { exchange.backend?.close() }
        settle(.brokenOff)
        phase = .lingering
        close()
    }
}
