import HTTPServer
import NIOHTTP1

/// An answer that is an error, in the contract's shape: `{"code","message"}`.
struct ExecdError: Error, Hashable, Sendable {
    var status: HTTPResponseStatus
    var code: String
    var message: String

    init(_ status: HTTPResponseStatus, _ code: String, _ message: String) {
        self.status = status
        self.code = code
        self.message = message
    }

    static func invalid(_ message: String) -> ExecdError { ExecdError(.badRequest, "INVALID_REQUEST_BODY", message) }

    /// Neither a command nor a session has this id.
    static func unknown(_ what: String, _ id: String) -> ExecdError {
        ExecdError(.notFound, "CONTEXT_NOT_FOUND", "no \(what) \(id) is known")
    }

    static func failed(_ message: String) -> ExecdError {
        ExecdError(.internalServerError, "RUNTIME_ERROR", message)
    }

    private struct Body: Encodable {
        var code: String
        var message: String
    }

    var reply: Reply { .json(status, Body(code: code, message: message)) }

    private struct Refusal: Encodable {
        var code: String
        var message: String
        var error: String
    }

    /// The same for those who may not ask, whom the reference tells of it in `error`.
    var refusal: Reply { .json(status, Refusal(code: code, message: message, error: message)) }
}

extension FileError {
    var reply: Reply {
        var reply = ExecdError(status, code, description).reply
        if case .unsatisfiableRange(let size) = self {
            reply.headers.add(name: "content-range", value: "bytes */\(size)")
        }
        return reply
    }
}
