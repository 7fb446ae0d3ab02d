import HTTPClient
import Logging
import System

/// The way to a collector: JSON over HTTP, tried again with growing pauses.
struct OTLPOutlet: Sendable {
    private let configuration: OTLPConfiguration
    private let client: HTTPClient
    private let peer: HTTPPeer
    private let logger: Logger

    /// Milliseconds that the last export may take, of a program that ends.
    private static let lastPatience: UInt64 = 2000

    init(_ configuration: OTLPConfiguration, client: HTTPClient, logger: Logger) {
        self.configuration = configuration
        self.client = client
        self.logger = logger
        var peer = HTTPPeer(configuration.endpoint)
        peer.headers = configuration.headers + [("Content-Type", "application/json")]
        peer.tls = configuration.tls
        peer.deadlines = ClientDeadlines(total: configuration.timeout)
        self.peer = peer
    }

    /// - Parameter isLast: the program ends: one attempt has to do, and a short one.
    /// - Returns: whether the collector has it.
    func send(_ what: String, _ document: [UInt8], isLast: Bool) async -> Bool {
        let request = ClientRequest("POST", configuration.endpoint.target, body: .bytes(document), mayRepeat: true)
        var peer = peer
        if isLast { peer.deadlines.total = min(configuration.timeout, Self.lastPatience) }
        let pauses = BackOff(first: 1000, longest: min(30_000, max(1000, configuration.interval)))
        let delivery = await client.deliver(request, to: peer, RetryPolicy(pauses, attempts: isLast ? 1 : 5))
        if case .failed(let reason) = delivery {
            logger.warning("\(what) could not be exported", metadata: ["collector": "\(peer)", "error": "\(reason)"])
        }
        return delivery == .done
    }
}
