import HTTPClient
import JSON

/// Why a command has not done what it was asked for.
package struct ClientFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// How a script tells them apart: the exit status, with sysexits.h's numbers where it has one.
    package enum Kind: Int32, Sendable {
        /// The server said no, or could not.
        case refused = 1
        /// What was given makes no request: EX_USAGE.
        case usage = 64
        /// There is no such sandbox, or no such file: EX_NOINPUT.
        case notFound = 66
        /// No server answers there: EX_UNAVAILABLE.
        case unreachable = 69
        /// What answers is not a Sallyport or OpenSandbox server: EX_PROTOCOL.
        case notUnderstood = 76
        /// A key is missing, wrong, or may not do this: EX_NOPERM.
        case forbidden = 77
    }

    package var kind: Kind
    package var reason: String

    package init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }

    package var description: String { reason }
}

extension ClientFailure {
    /// An answer that is no success: `{"code", "message"}`, or a line of text where a policy is asked for.
    init(status: Int, body: [UInt8]) {
        let document = try? JSONValue(body)
        var reason = "the server answered with status \(status)"
        if case .string(let message)? = document?["message"] {
            reason = message
            if case .string(let code)? = document?["code"] { reason += " (\(code))" }
        } else if document == nil, !body.isEmpty, body.count < 2048, let text = String(validating: body, as: UTF8.self)
        {
            reason = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        }
        switch status {
        case 401:
            self.init(
                .forbidden,
                reason + ". Set OPEN_SANDBOX_API_KEY, or name a file with the key by --api-key-file; "
                    + "`sallyport key create NAME` makes one")
        case 403: self.init(.forbidden, reason)
        case 404: self.init(.notFound, reason)
        default: self.init(.refused, reason)
        }
    }

    init(_ error: HTTPClientError, asking server: HTTPEndpoint) {
        switch error {
        case .invalidRequest: self.init(.usage, "\(error)")
        default:
            self.init(
                .unreachable,
                "no answer from \(server): \(error). Is the server running there? --server or OPEN_SANDBOX_DOMAIN names another"
            )
        }
    }
}
