import HTTPServer
import HTTPWire
import Logging
import NIOHTTP1
import System
import Tracing

/// execd's HTTP API: who may ask, and how its errors are said.
struct ExecdAPI: Sendable {
    static let tokenHeader = "X-EXECD-ACCESS-TOKEN"

    let system: SystemAPI
    let commands: CommandAPI
    let sessions: SessionAPI
    let code: CodeAPI
    let terminals: TerminalAPI
    let files: FilesAPI
    let isolation: IsolationAPI
    let start: InitAPI
    let proxy: PortProxy
    /// What requests have to carry, where a gated start does not say otherwise.
    let access: AccessRule
    let logger: Logger
    /// Counts requests and begins spans; nil where nothing is exported.
    var meter: Meter?
    var tracer: Tracer?

    var http: HTTPAPI {
        var http = HTTPAPI(
            .decoded, logger: logger, admit: { request, access in access == .open ? nil : refusal(of: request) },
            render: { render($0, $1) })
        http.tracer = tracer
        if let meter {
            http.measured = { answered in
                guard let method = answered.method else { return }
                meter.note(
                    RequestMethod.known(method), answered.route, status: answered.status,
                    nanoseconds: answered.nanoseconds)
            }
        }
        start.add(to: &http)
        proxy.add(to: &http) { refusal(of: $0, isOfProxy: true) }
        system.add(to: &http)
        commands.add(to: &http)
        sessions.add(to: &http)
        code.add(to: &http)
        terminals.add(to: &http)
        files.add(to: &http)
        isolation.add(to: &http)
        http.finish = { [logger] reply, request in
            logger.info(
                "request",
                metadata: [
                    "method": "\(request.method)", "target": "\(LoggedTarget.masked(request.target))",
                    "status": "\(reply.status.code)",
                ])
        }
        return http
    }

    /// The answer to those who may not ask; nil for those who may.
    /// - Parameter isOfProxy: whether it is for an application, whose pages ask for more of the same application.
    private func refusal(of request: HTTPRequest, isOfProxy: Bool = false) -> Reply? {
        guard start.gate.isOpen else {
            return ExecdError(.serviceUnavailable, "SERVICE_UNAVAILABLE", "this sandbox has not been initialised")
                .refusal
        }
        let rule = start.gate.told?.accessTokenHash.flatMap(AccessRule.init(hash:)) ?? access
        guard rule.admits(request.headers.first(name: Self.tokenHeader)) else {
            return ExecdError(.unauthorized, "UNAUTHORIZED", "\(Self.tokenHeader) is missing or wrong").refusal
        }
        let isOfAPage = request.isOfAPage || PageOrigin.isBrowserByName(request.headers)
        guard rule != .nothing || !isOfAPage || (isOfProxy && PageOrigin.isOwn(request.headers)) else {
            return ExecdError(.forbidden, "FORBIDDEN", "pages may not use execd where it has no token").refusal
        }
        return nil
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
