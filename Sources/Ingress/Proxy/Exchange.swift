import HTTPWire
import NIOHTTP1

/// One request on its way to a sandbox, and its response on the way back.
final class Exchange {
    /// As the client sent it, checked.
    let request: HTTPRequestHead
    let target: ProxyTarget
    /// As the sandbox gets it.
    let outgoing: OutgoingRequest
    let upgrade: Upgrade
    /// The client's connection goes on after this exchange.
    var keepsAlive: Bool
    /// Nil while one is being opened.
    var backend: BackendConnection?
    /// What came before the connection was there.
    var waiting: [BodyPart] = []
    var requestEnded = false
    /// Of the request's body, so far.
    var bodyBytes = 0
    /// Some of the request's body has been given to a connection: it cannot be sent again.
    var bodySent = false
    /// Bytes of the request's body since its time was set; nil where it has not been set.
    var bodyProgress: Int?
    var responseStarted = false
    /// The sandbox's connection may carry another exchange after this one.
    var leavesBackendOpen = false
    var isRetry = false
    /// A call of gRPC: both sides may be silent for long, and the sandbox has to speak HTTP/2.
    var isGRPC = false
    /// The sandbox gets it as a stream of HTTP/2.
    var usesStream = false
    /// The sandbox agrees to another protocol; the end of this head has not been told yet.
    var switching: ReceivedResponse?

    init(
        request: HTTPRequestHead, target: ProxyTarget, outgoing: OutgoingRequest, upgrade: Upgrade, keepsAlive: Bool
    ) {
        self.request = request
        self.target = target
        self.outgoing = outgoing
        self.upgrade = upgrade
        self.keepsAlive = keepsAlive
    }

    var clientCanChunk: Bool { request.version == .http1_1 }

    /// A pooled connection may have been closed by the sandbox just before the request: nothing has come of it then, and
    /// what is idempotent may be sent once more (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
    func mayRetry(on connection: BackendConnection) -> Bool {
        let idempotent: [HTTPMethod] = [.GET, .HEAD, .PUT, .DELETE, .OPTIONS]
        return connection.isReused && !isRetry && !bodySent && !responseStarted && idempotent.contains(request.method)
    }

    /// Whether the sandbox's connection is at the beginning of another message when this response has ended.
    func noteFraming(of head: ReceivedResponse) {
        let isFramed =
            request.method == .HEAD || !ResponseStatus.mayHaveBody(head.code) || head.framing.length != nil
            || head.framing.isChunked
        leavesBackendOpen = head.persists && isFramed
    }
}
