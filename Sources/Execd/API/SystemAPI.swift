import FoundationEssentials
import HTTPServer
import NIOCore
import NIOHTTP1

/// `/ping` and `/metrics` (docs/wire.md#execd).
struct SystemAPI: Sendable {
    private let sampler = MetricsSampler()
    private static let watchInterval = Duration.seconds(1)

    /// - Returns: false where the path is none of these.
    func answer(_ path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws -> Bool
    {
        switch (request.method, path.joined(separator: "/")) {
        case (.GET, "ping"): try await response.respond(.ok)
        case (.GET, "metrics"): try await response.respondJSON(.ok, sampler.sample(at: CommandRunner.now()))
        case (.GET, "metrics/watch"): try await watch(response)
        default: return false
        }
        return true
    }

    /// `GET /metrics/watch`: a line of JSON each second until the client goes. Without `data:` and blank lines, in
    /// spite of the content type, since that is how clients read it.
    private func watch(_ response: HTTPResponseWriter) async throws {
        let sampler = MetricsSampler()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try await response.start(.ok, headers: ["content-type": "text/event-stream", "cache-control": "no-cache"])
        while !response.isClosed {
            let line = try encoder.encode(sampler.sample(at: CommandRunner.now()))
            try await response.write(ByteBuffer(bytes: line + [UInt8(ascii: "\n")]))
            try await Task.sleep(for: Self.watchInterval)
        }
    }
}
