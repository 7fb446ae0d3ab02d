import HTTPServer
import HTTPWire
import JSON
import Logging
import NIOHTTP1
import Runtimes

/// An error answer: `{"code","message"}`, with a `detail` list if fields of the request are wrong
/// (docs/wire.md#errors).
struct APIError: Error, Hashable, Sendable {
    var status: HTTPResponseStatus
    var code: String
    var message: String
    var detail: [ValidationProblem]?

    init(_ status: HTTPResponseStatus, _ code: String, _ message: String, detail: [ValidationProblem]? = nil) {
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
    }

    /// The provider of tenants cannot be asked (contract).
    static let noTenantProvider = "TENANT_PROVIDER_UNAVAILABLE"

    /// 422 with these problems. The message lists them as well, since clients show only that.
    static func invalid(_ problems: [ValidationProblem]) -> APIError {
        let text = problems.map { "\($0.loc.joined(separator: ".")): \($0.msg)" }.joined(separator: "; ")
        return APIError(.unprocessableEntity, "INVALID_REQUEST", text, detail: problems)
    }

    static func invalid(_ location: [String], _ message: String, type: String = "value_error") -> APIError {
        .invalid([ValidationProblem(type: type, location: location, message: message)])
    }

    /// A body that is not JSON, or that parsers could read differently.
    static func notJSON(_ error: JSONError) -> APIError {
        APIError(.badRequest, "INVALID_REQUEST", "the body is not valid JSON: \(error)")
    }

    static func parameter(_ message: String) -> APIError {
        APIError(.badRequest, "SANDBOX::INVALID_PARAMETER", message)
    }

    static func unknownSandbox(_ id: String, _ codes: RuntimeCodes) -> APIError {
        APIError(.notFound, codes.sandboxNotFound, "Sandbox \(id.prefix(80)) not found")
    }

    static func unknownSnapshot(_ id: String) -> APIError {
        APIError(.notFound, "SNAPSHOT::NOT_FOUND", "Snapshot \(id.prefix(80)) not found")
    }

    static func notSupported(_ what: String, code: String = "SANDBOX::API_NOT_SUPPORTED") -> APIError {
        APIError(.notImplemented, code, what)
    }

    /// A body that could not be read to its end.
    static func tooLarge(_ error: any Error) -> APIError {
        APIError(.payloadTooLarge, "INVALID_REQUEST", "\(error)")
    }

    static let unknownRoute = APIError(.notFound, "NOT_FOUND", "Not Found")
    static let wrongMethod = APIError(.methodNotAllowed, "METHOD_NOT_ALLOWED", "Method Not Allowed")
}

/// The body of an error answer.
struct ErrorBody: Encodable, Sendable {
    var code: String
    var message: String
    var detail: [ValidationProblem]?

    init(_ error: APIError) {
        code = error.code
        message = error.message
        detail = error.detail
    }
}

extension Reply {
    /// The contract's answer to a request that an error ended. An error that the contract does not know is a fault of the server's:
    /// the log has it, and the client learns nothing of it.
    static func errors(_ logger: Logger) -> @Sendable (any Error, HTTPRequest) -> Reply {
        { error, request in
            switch error {
            case let error as APIError: return .error(error)
            case RoutingError.unknownRoute: return .error(.unknownRoute)
            case is RoutingError: return .error(.wrongMethod)
            case is HTTPBodyError: return .error(.tooLarge(error))
            case let error as HTTPMessageError: return .error(APIError(error.status, error.code, "\(error)"))
            default:
                logger.error(
                    "a request failed",
                    metadata: ["method": "\(request.method)", "path": "\(request.path)", "error": "\(error)"])
                return .error(
                    APIError(.internalServerError, "INTERNAL_ERROR", "the request failed: the server's log says why"))
            }
        }
    }

    static func error(_ error: APIError) -> Reply {
        var reply = Reply.json(error.status, ErrorBody(error))
        // The server's capacity comes back with the next deletion: soon is a good guess.
        if error.status == .tooManyRequests || error.code == APIError.noTenantProvider {
            reply.headers.add(name: "retry-after", value: "1")
        }
        return reply
    }
}
