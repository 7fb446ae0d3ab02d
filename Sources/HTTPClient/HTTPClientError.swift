/// Why a request has no answer, or not a whole one. No case contains what was sent.
package enum HTTPClientError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What may not arrive larger than `ClientLimits` says.
    package enum Part: String, Hashable, Sendable { case head, body, line }

    /// The request cannot be sent as it is: which part, and what is wrong with it.
    case invalidRequest(String)
    /// This system has no usable libcurl.
    case unavailable(String)
    case unresolved(host: String)
    case unreachable(String)
    case timedOut
    case malformed
    /// The reason as the TLS library gives it.
    case insecure(String)
    case tooLarge(Part)
    /// The connection ended before the answer did.
    case interrupted(String)
    /// The body that was to be sent could not be read to its end.
    case unfinishedRequest
    /// The task that asked was cancelled, or the answer was put away before its end.
    case cancelled

    package var description: String {
        switch self {
        case .invalidRequest(let reason): "this cannot be sent: \(reason)"
        case .unavailable(let reason): reason
        case .unresolved(let host): "\(host) has no address"
        case .unreachable(let reason): "no connection: \(reason)"
        case .timedOut: "no answer in time"
        case .malformed: "the answer is not HTTP"
        case .insecure(let reason): "no TLS: \(reason)"
        case .tooLarge(let part): "the answer's \(part.rawValue) is too large"
        case .interrupted(let reason): "the answer broke off: \(reason)"
        case .unfinishedRequest: "the body to send broke off"
        case .cancelled: "the request was cancelled"
        }
    }
}
