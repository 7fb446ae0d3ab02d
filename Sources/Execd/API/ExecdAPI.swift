import HTTPServer
import HTTPWire
import Logging
import NIOHTTP1
import System

/// execd's HTTP API: who may ask, and how its errors are said.
struct ExecdAPI: Sendable {
    static let tokenHeader = "X-EXECD-ACCESS-TOKEN"

    let system = SystemAPI()
    let commands: CommandAPI
    let sessions: SessionAPI
    let code: CodeAPI
    let terminals: TerminalAPI
    let files: FilesAPI
    /// The token that every request must carry; nil for none.
    let token: String?
    let logger: Logger

    var http: HTTPAPI {
        var http = HTTPAPI(
            .decoded, logger: logger, admit: { request, _ in refusal(of: request) },
            render: { render($0, $1) })
        system.add(to: &http)
        commands.add(to: &http)
        sessions.add(to: &http)
        code.add(to: &http)
        terminals.add(to: &http)
        files.add(to: &http)
        MissingParts.add(to: &http)
        return http
    }

    /// The answer to those who may not ask; nil for those who may.
    private func refusal(of request: HTTPRequest) -> Reply? {
        guard isAuthorized(request) else {
            return .json(.unauthorized, ["error": "\(Self.tokenHeader) is missing or wrong"])
        }
        guard token != nil || !request.isOfAPage else {
            return .json(.forbidden, ["error": "pages may not use execd where it has no token"])
        }
        return nil
    }

    private func isAuthorized(_ request: HTTPRequest) -> Bool {
        guard let token else { return true }
        return ConstantTime.areEqual(request.headers.first(name: Self.tokenHeader) ?? "", token)
    }

    private func render(_ error: any Error, _ request: HTTPRequest) -> Reply {
        switch error {
        case let error as ExecdError: return error.reply
        case let error as FileError: return error.reply
        case let error as RequestBodyError: return ExecdError.invalid(error.description).reply
        case let error as HTTPBodyError:
            return ExecdError(.payloadTooLarge, "INVALID_REQUEST_BODY", "\(error)").reply
        case let error as WebSocketHandshakeError:
            return ExecdError(error.status, "INVALID_REQUEST", "\(error)").reply
        case let error as HTTPMessageError:
            return ExecdError(error.status, "INVALID_REQUEST_BODY", "\(error)").reply
        case let error as RoutingError:
            return ExecdError(
                error == .unknownRoute ? .notFound : .methodNotAllowed, "NOT_SUPPORTED",
                "\(request.method) \(request.path) is not part of this execd"
            ).reply
        default:
            logger.error("request failed", metadata: ["path": "\(request.path)", "error": "\(error)"])
            return ExecdError(.internalServerError, "RUNTIME_ERROR", "\(error)").reply
        }
    }
}
