import HTTPServer
import Logging
import NIOHTTP1
import System

/// execd's HTTP API: authorisation and routing.
struct ExecdAPI: Sendable {
    static let tokenHeader = "X-EXECD-ACCESS-TOKEN"

    let system = SystemAPI()
    let commands: CommandAPI
    let sessions: SessionAPI
    let files: FilesAPI
    /// The token that every request must carry; nil for none.
    let token: String?
    let logger: Logger

    func handle(_ request: HTTPRequest, _ response: HTTPResponseWriter) async {
        do {
            guard isAuthorized(request) else {
                return try await response.respondJSON(
                    .unauthorized, ["error": "\(Self.tokenHeader) is missing or wrong"])
            }
            guard token != nil || !request.isOfAPage else {
                return try await response.respondJSON(
                    .forbidden, ["error": "pages may not use execd where it has no token"])
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

    private func isAuthorized(_ request: HTTPRequest) -> Bool {
        guard let token else { return true }
        return ConstantTime.areEqual(request.headers.first(name: Self.tokenHeader) ?? "", token)
    }

    private func route(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let path = request.pathSegments[...]
        var isKnown = true
        switch (path.first, path.dropFirst().first) {
        case ("ping", _), ("metrics", _): isKnown = try await system.answer(path, request, response)
        case ("command", _): isKnown = try await commands.answer(path, request, response)
        case ("session", _): isKnown = try await sessions.answer(path, request, response)
        case ("files", _), ("directories", _): isKnown = try await files.answer(path, request, response)
        case ("v1", "filesystem"): isKnown = try await files.answer(asIdentity: path.dropFirst(2), request, response)
        case ("v1", "isolated"): try await MissingParts.answerIsolated(path, request, response)
        case ("code", _): try await MissingParts.answer("code interpreter", response)
        case ("pty", _): try await MissingParts.answer("terminals", response)
        default: isKnown = false
        }
        guard !isKnown else { return }
        try await response.respondError(
            .notFound, code: "NOT_SUPPORTED", message: "\(request.method) \(request.path) is not part of this execd")
    }
}
