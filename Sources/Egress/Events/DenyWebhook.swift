import FoundationEssentials
import HTTPClient
import JSON
import Logging
import NetworkPolicy
import Synchronization
import System

/// Reports denied names to an HTTP server in the reference's form: one POST for each name,
/// `{"hostname","timestamp","source","sandboxId"}`. A name that is denied again within seconds is reported once.
package final class DenyWebhook: EventOutlet {
    struct Notice: Hashable, Sendable {
        var name: DomainName
        var sandbox: String
        /// Milliseconds since 1970.
        var time: UInt64

        var body: [UInt8] {
            let time = Date(timeIntervalSince1970: Double(time / 1000)).formatted(Date.ISO8601FormatStyle())
            let fields = [
                "\"hostname\":" + JSONText.quoted("\(name)"), "\"timestamp\":\"\(time)\"",
                "\"source\":\"opensandbox-egress\"", "\"sandboxId\":" + JSONText.quoted(sandbox),
            ]
            return Array(("{" + fields.joined(separator: ",") + "}").utf8)
        }
    }

    private struct Key: Hashable {
        var name: DomainName
        var sandbox: String
    }

    /// Milliseconds within which a name is reported once, since A and AAAA are asked for together.
    private static let repetition: UInt64 = 5000

    /// For one attempt.
    private static let attemptMilliseconds: UInt64 = 5000

    private let endpoint: HTTPEndpoint
    private let client: HTTPClient
    private let peer: HTTPPeer
    private let retries: RetryPolicy
    private let logger: Logger
    private let outbox = Outbox<Notice>(capacity: 256, name: "webhook")
    private let told = Mutex<[Key: UInt64]>([:])
    private let worker = Mutex<Task<Void, Never>?>(nil)

    /// - Parameter retries: the reference's: three after the first, 1, 2 and 4 seconds apart.
    package init(
        _ endpoint: HTTPEndpoint, client: HTTPClient = .shared,
        retries: RetryPolicy = RetryPolicy(BackOff(first: 1000, longest: 4000), attempts: 4), logger: Logger
    ) {
        self.endpoint = endpoint
        self.client = client
        var peer = HTTPPeer(endpoint)
        peer.headers = [("Content-Type", "application/json")]
        peer.deadlines = ClientDeadlines(total: Self.attemptMilliseconds)
        self.peer = peer
        self.retries = retries
        self.logger = logger
        // The task keeps the webhook alive until `close`.
        let task = Task {
            await outbox.run { notices in
                for notice in notices { await self.send(notice) }
            }
        }
        worker.withLock { $0 = task }
    }

    func put(_ event: DecisionEvent, of sandbox: String) {
        guard case .name(let name, _, let verdict) = event.kind, !verdict.isAllowed else { return }
        let isNews = told.withLock { told in
            let key = Key(name: name, sandbox: sandbox)
            // A wall clock that was set back must not suppress names until it catches up.
            if let before = told[key], (before..<before + Self.repetition).contains(event.time) { return false }
            if told.count >= 4096 { told = [:] }
            told[key] = event.time
            return true
        }
        if isNews { outbox.put(Notice(name: name, sandbox: sandbox, time: event.time), of: sandbox) }
    }

    /// Drops what has not been reported yet.
    package func close() {
        outbox.close()
        worker.withLock { $0 }?.cancel()
    }

    private func send(_ notice: Notice) async {
        guard !Task.isCancelled else { return }
        let request = ClientRequest("POST", endpoint.target, body: .bytes(notice.body), mayRepeat: true)
        guard case .failed(let reason) = await client.deliver(request, to: peer, retries) else { return }
        outbox.lose(1)
        logger.warning(
            "a notice could not be delivered to the deny webhook",
            metadata: ["endpoint": "\(endpoint)", "error": "\(reason)"])
    }
}
