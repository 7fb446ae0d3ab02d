import HTTPServer
import Logging
import NIOHTTP1

/// execd's HTTP API: who is asked for what.
struct ExecdAPI: Sendable {
    static let tokenHeader = "X-EXECD-ACCESS-TOKEN"

    let commands: CommandAPI
    /// What every request must carry; nil: nothing.
    let token: String?
    let logger: Logger

    func handle(_ request: HTTPRequest, _ response: HTTPResponseWriter) async {
        do {
            guard isAuthorized(request) else {
                return try await response.respondJSON(
                    .unauthorized, ["error": "\(Self.tokenHeader) is missing or wrong"])
            }
            try await route(request, response)
        } catch HTTPBodyError.clientGone {
            return
        } catch let error as HTTPBodyError {
            try? await response.respondError(.payloadTooLarge, code: "INVALID_REQUEST_BODY", message: "\(error)")
        } catch {
            logger.error("request failed", metadata: ["path": "\(request.path)", "error": "\(error)"])
            guard !response.hasStarted else { return }
            try? await response.respondError(.internalServerError, code: "RUNTIME_ERROR", message: "\(error)")
        }
    }

    /// Looks at every byte, whichever the first difference is.
    private func isAuthorized(_ request: HTTPRequest) -> Bool {
        guard let token else { return true }
        let presented = Array((request.headers.first(name: Self.tokenHeader) ?? "").utf8), expected = Array(token.utf8)
        var difference = UInt8(presented.count == expected.count ? 0 : 1)
        for (index, byte) in expected.enumerated() {
            difference |= byte ^ (index < presented.count ? presented[index] : 0)
        }
        return difference == 0
    }

    private func route(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let path = request.pathSegments
        switch (request.method, path.first, path.count) {
        case (.GET, "ping", 1): try await response.respond(.ok)
        case (.GET, "metrics", 1): try await response.respondJSON(.ok, SystemMetrics.current(at: CommandRunner.now()))
        case (.POST, "command", 1): try await commands.run(request, response)
        case (.DELETE, "command", 1): try await commands.interrupt(request, response)
        case (.GET, "command", 3) where path[1] == "status": try await commands.status(path[2], response)
        case (.GET, "command", 3) where path[2] == "logs": try await commands.logs(path[1], request, response)
        default:
            try await response.respondError(
                .notFound, code: "NOT_SUPPORTED", message: "\(request.method) \(request.path) is not part of this execd"
            )
        }
    }
}
