import HTTPServer
import NIOCore
import NIOHTTP1
import System

/// `/ping` and `/metrics` (docs/wire.md#execd).
struct SystemAPI: Sendable {
    let commands: CommandRegistry
    private let sampler = MetricsSampler()
    /// Of its own, since each measures since its last reading.
    private let scraped = MetricsSampler()

    init(commands: CommandRegistry) { self.commands = commands }

    private static let watchInterval = Duration.seconds(1)

    func add(to http: inout HTTPAPI) {
        http.on(.GET, "/ping") { _ in .empty(.ok) }
        http.on(.GET, "/metrics") { _ in .json(.ok, sampler.sample(at: CommandRunner.now())) }
        http.on(.GET, "/metrics/watch") { _ in watch() }
        http.on(.GET, "/metrics/prometheus") { _ in
            let processes = ProcessNumbers.all().count
            return .metrics(
                PrometheusMetrics(
                    scraped.sample(at: CommandRunner.now()), .current(), processes: processes, commands: commands.counts
                ).text)
        }
    }

    /// A line of JSON each second until the client goes. Neither `data:` nor blank lines, though the content type says so:
    /// clients read it like this.
    private func watch() -> Reply {
        .stream(.ok, headers: ["content-type": "text/event-stream", "cache-control": "no-cache"]) { writer in
            let sampler = MetricsSampler()
            while !writer.isClosed, !writer.isEnding {
                let line = Reply.json(.ok, sampler.sample(at: CommandRunner.now())).bytes
                try await writer.write(ByteBuffer(bytes: line + [UInt8(ascii: "\n")]))
                try await Task.sleep(for: Self.watchInterval)
            }
        }
    }
}
