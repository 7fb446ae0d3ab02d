import NIOHTTP1

/// Why a message is not taken; the connection ends with it, since nobody can tell what follows.
package enum HTTPMessageError: Error, Hashable, Sendable {
    /// Two programs could read it in two ways, or RFC 9110 and 9112 forbid it.
    case malformed(String)
    /// A section is longer than it may be, or has too many fields.
    case tooLarge
    case targetTooLong
    /// Neither HTTP/1.1 nor 1.0.
    case version
    case expectation

    /// What a server answers.
    package var status: HTTPResponseStatus {
        switch self {
        case .malformed: .badRequest
        case .tooLarge: .requestHeaderFieldsTooLarge
        case .targetTooLong: .uriTooLong
        case .version: .httpVersionNotSupported
        case .expectation: .expectationFailed
        }
    }

    /// The same as a word.
    package var code: String {
        switch self {
        case .malformed: "MALFORMED_REQUEST"
        case .tooLarge: "HEADERS_TOO_LARGE"
        case .targetTooLong: "TARGET_TOO_LONG"
        case .version: "HTTP_VERSION"
        case .expectation: "EXPECTATION"
        }
    }
}

extension HTTPMessageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let reason): reason
        case .tooLarge: "the request head is too large or has too many fields"
        case .targetTooLong: "the request's target is longer than a head may be"
        case .version: "only HTTP/1.1 is supported"
        case .expectation: "100-continue is the only expectation that is understood"
        }
    }
}
