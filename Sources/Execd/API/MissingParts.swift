import HTTPServer
import NIOHTTP1

/// Answers for parts of the contract that this execd does not have, which say so plainly.
enum MissingParts {
    private struct Capabilities: Encodable, Sendable {
        var available = false
        var message = "this execd has no isolated sessions yet"
    }

    /// `/v1/isolated` (docs/wire.md#isolated-sessions): its capabilities are always answered.
    static func answerIsolated(
        _ path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter
    ) async throws {
        guard request.method == .GET, path.elementsEqual(["v1", "isolated", "capabilities"]) else {
            return try await answer("isolated sessions", response)
        }
        try await response.respondJSON(.ok, Capabilities())
    }

    static func answer(_ part: String, _ response: HTTPResponseWriter) async throws {
        try await response.respondError(
            .notImplemented, code: "NOT_SUPPORTED", message: "this execd has no \(part) yet")
    }
}
