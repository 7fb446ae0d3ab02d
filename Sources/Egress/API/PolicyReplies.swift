import HTTPServer
import HTTPWire
import NIOHTTP1
import NetworkPolicy

/// What a caller who may not ask is told.
package struct RefusalError: Error {
    package var status: HTTPResponseStatus
    package var reason: String

    package init(status: HTTPResponseStatus, reason: String) { (self.status, self.reason) = (status, reason) }

    static let unauthorized = RefusalError(
        status: .unauthorized, reason: "unauthorized: send the sandbox's \(PolicyToken.header) header")
}

/// Answers of the policy API. Errors are plain text (docs/wire.md#policy).
extension Reply {
    static func status(_ status: PolicyStatus, _ form: PolicyForm) -> Reply {
        .encodedJSON(.ok, status.encodedJSON(form))
    }

    /// A line for people.
    static func line(_ status: HTTPResponseStatus, _ text: String) -> Reply { .text(status, text + "\n") }

    /// What the kernel or the disk said is for the operator's log; the caller learns that nothing changed.
    static func failure(_ error: EgressError) -> Reply {
        switch error {
        case .notGuarded: .line(.notFound, error.description)
        case .invalidIdentifier, .tooManyRules, .invalidPolicy: .line(.badRequest, error.description)
        case .kernel, .guardedTwice:
            .line(.internalServerError, "the policy could not be enforced; nothing was changed")
        case .storage: .line(.internalServerError, "the policy could not be stored; nothing was changed")
        case .remote: .line(.internalServerError, "the egress guard could not do it; nothing was changed")
        case .unsupported: .line(.notImplemented, error.description)
        case .unreachable: .line(.serviceUnavailable, "the egress guard does not answer; try again in a moment")
        }
    }

    /// The answer to a request that an error ended.
    static func failure(_ error: any Error) -> Reply {
        switch error {
        case let error as EgressError: .failure(error)
        case let error as RefusalError: .line(error.status, error.reason)
        case RoutingError.wrongMethod(let allowed):
            .line(.methodNotAllowed, "method not allowed: use \(allowed.joined(separator: ", "))")
        case RoutingError.unknownRoute: .line(.notFound, "not found")
        case HTTPBodyError.tooLarge(let limit):
            .line(.payloadTooLarge, "the body is larger than \(limit) bytes")
        case let error as HTTPMessageError: .line(error.status, error.description)
        default: .line(.internalServerError, "the request failed; nothing was changed")
        }
    }
}
