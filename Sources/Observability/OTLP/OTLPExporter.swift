import CoreMetrics
import HTTPClient
import Logging
import System

/// Sends the registry to a collector periodically, as JSON over HTTP, until its task is cancelled.
///
/// A failed export is retried with growing pauses and then left to the next one. Counts are cumulative, so nothing is
/// lost.
public struct OTLPExporter: Sendable {
    private let configuration: OTLPConfiguration
    private let registry: MetricsRegistry
    private let scope: String
    private let version: String
    private let poster: HTTPPoster
    private let logger: Logger
    private let start = SystemClock.wallNanoseconds()
    private let workers = WorkerPool(maxThreads: 1)

    /// - Parameter scope: the meter's name: `opensandbox/egress`.
    package init(
        _ configuration: OTLPConfiguration, registry: MetricsRegistry, scope: String, version: String,
        poster: HTTPPoster = HTTPPoster(), logger: Logger
    ) {
        self.configuration = configuration
        self.registry = registry
        self.scope = scope
        self.version = version
        var poster = poster
        poster.timeout = configuration.timeout
        self.poster = poster
        self.logger = logger
    }

    /// Exports until the task is cancelled, and once more then.
    public func run() async {
        let failures = Counter(label: "sallyport_otlp_failures_total")
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(configuration.interval))
            if await !export() { failures.increment() }
        }
    }

    /// Performs one export with its retries.
    func export() async -> Bool {
        let document = OTLPDocument(
            registry.snapshot(), resource: configuration.attributes, scope: scope, version: version, start: start,
            now: SystemClock.wallNanoseconds())
        let post = HTTPPost(
            configuration.endpoint, headers: configuration.headers + [("Content-Type", "application/json")],
            body: document.encoded)
        var retries = RetryPolicy(BackOff(first: 1000, longest: min(30_000, configuration.interval)), attempts: 5)
        while true {
            let outcome = await send(post)
            switch retries.step(try? outcome.get()) {
            case .done: return true
            case .giveUp:
                let reason =
                    switch outcome {
                    case .success(let reply): "status \(reply.status)"
                    case .failure(let error): "\(error)"
                    }
                logger.warning(
                    "metrics not exported", metadata: ["collector": "\(configuration.endpoint)", "error": "\(reason)"])
                return false
            case .retry(let milliseconds):
                guard !Task.isCancelled else { return false }
                try? await Task.sleep(for: .milliseconds(milliseconds))
            }
        }
    }

    private func send(_ post: HTTPPost) async -> Result<HTTPReply, HTTPClientError> {
        do throws(HTTPClientError) {
            return .success(try await workers.run { [poster] () throws(HTTPClientError) in try poster.post(post) })
        } catch {
            return .failure(error)
        }
    }
}
